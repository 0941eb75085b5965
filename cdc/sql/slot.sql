-- the slot as PostgreSQL sees it: the truth about a connector, whatever Connect says
select s.active,
       s.wal_status,
       s.invalidation_reason,
       s.confirmed_flush_lsn::text as confirmed,
       (s.confirmed_flush_lsn - '0/0'::pg_lsn)::bigint as confirmed_bytes,
       coalesce(pg_wal_lsn_diff(here.lsn, s.restart_lsn), 0)::bigint as retained_bytes,
       pg_wal_lsn_diff(here.lsn, s.confirmed_flush_lsn)::bigint as lag_bytes,
       s.database,
       exists (select 1 from pg_stat_replication r where r.pid = s.active_pid and r.state = 'streaming') as streaming
  from pg_replication_slots s,
       lateral (select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn) here
 where s.slot_name = %(slot)s
