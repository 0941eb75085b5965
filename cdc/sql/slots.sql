-- every logical slot of the server, with what it holds and who reads it
select s.slot_name::text,
       s.plugin::text,
       s.database = current_database() as here,
       s.active,
       s.active_pid,
       s.temporary,
       s.wal_status,
       coalesce(to_jsonb(s) ->> 'invalidation_reason', '') as invalidation_reason,
       coalesce((to_jsonb(s) ->> 'failover')::boolean, false) as failover,
       coalesce((s.confirmed_flush_lsn - '0/0'::pg_lsn)::bigint, 0) as confirmed_bytes,
       coalesce(pg_wal_lsn_diff(here.lsn, s.restart_lsn), 0)::bigint as retained,
       coalesce(pg_wal_lsn_diff(here.lsn, s.confirmed_flush_lsn), 0)::bigint as lag
  from pg_replication_slots s,
       lateral (select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn) here
 where s.slot_type = 'logical'
