-- Every table of this database that can hold rows of the app: event table, read models, parked records, snapshots, all others; and
-- whether policies hide rows of it from this login even when it acts for every tenant.
SELECT n.nspname, c.relname, row_security_active(c.oid) AND NOT pg_has_role(c.relowner, 'MEMBER')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
ORDER BY n.nspname, c.relname
