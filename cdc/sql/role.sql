-- the role that Debezium connects as; no row when there is none
select rolcanlogin as may_login,
       rolsuper as is_superuser,
       rolreplication or rolsuper
         or exists (select 1 from pg_roles g where g.rolname = 'rds_replication' and pg_has_role(r.oid, g.oid, 'member')) as may_replicate
  from pg_roles r
 where rolname = %(role)s
