-- what logical decoding needs of the server, and of the role that Debezium connects as
select current_setting('wal_level') as wal_level,
       current_setting('server_version_num')::int as version,
       current_setting('max_replication_slots')::int as slots,
       (select count(*) from pg_replication_slots)::int as slots_used,
       pg_is_in_recovery() as is_standby,
       (select rolreplication or rolsuper
               or exists (select 1 from pg_roles g where g.rolname = 'rds_replication' and pg_has_role(r.oid, g.oid, 'member'))
          from pg_roles r where rolname = %(role)s) as may_replicate,
       (select rolsuper from pg_roles where rolname = current_user) as is_superuser,
       emit.oid::regprocedure::text as emit,
       coalesce((select has_function_privilege(oid, emit.oid, 'execute') from pg_roles where rolname = %(role)s), true) as may_emit,
       (select system_identifier::text from pg_control_system()) as system
  from pg_proc emit
 where emit.proname = 'pg_logical_emit_message' and emit.proargtypes[2] = 'text'::regtype
