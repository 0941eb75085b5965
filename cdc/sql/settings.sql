-- the settings that decide whether logical decoding works and how long a slot lives, and how many standbys there are
select name, setting
  from pg_settings
 where name in ('wal_level', 'max_wal_senders', 'max_replication_slots', 'max_slot_wal_keep_size', 'wal_sender_timeout',
                'idle_replication_slot_timeout', 'sync_replication_slots', 'synchronized_standby_slots', 'hot_standby_feedback')
union all
select 'standbys', count(*)::text
  from pg_stat_replication r
 where not exists (select 1 from pg_replication_slots s where s.active_pid = r.pid and s.slot_type = 'logical')
   and r.application_name not in ('pg_basebackup', 'Debezium Streaming')
