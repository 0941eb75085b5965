-- until this transaction ends, what is made belongs to the role of projectors, where there is one that may make it: then each of its
-- members may feed and drop a generation, and readers may read it by default
SELECT set_config('role', d.role, true)
FROM eventstore.duty AS d JOIN pg_roles AS r ON r.rolname = d.role
WHERE d.name = 'projector' AND has_database_privilege(r.oid, current_database(), 'CREATE')
  AND pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END)
