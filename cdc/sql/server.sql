-- what logical decoding needs of the server and of the role that Debezium connects as
select current_setting('wal_level') as wal_level,
       current_setting('max_replication_slots')::int as slots,
       (select count(*) from pg_replication_slots)::int as slots_used,
       pg_is_in_recovery() as is_standby,
       (select rolreplication or rolsuper from pg_roles where rolname = %(role)s) as may_replicate,
       (select system_identifier::text from pg_control_system()) as system
