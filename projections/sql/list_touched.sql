-- what this transaction has read or written beside the tables that SQL handlers may: it holds a lock on each until it ends
SELECT DISTINCT n.nspname || '.' || c.relname, l.mode
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relkind <> 'i'
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'projections') AND n.nspname NOT LIKE 'pg\_%%temp\_%%'
  AND n.nspname || '.' || c.relname <> 'eventstore.tenant_role'
  AND NOT (n.nspname = %(schema)s AND c.relname = ANY(%(allowed)s::text[]))
ORDER BY 1, 2
