-- the columns of a generation's tables, and of whatever bears their names in the projection's own schema, with what was built upon each
SELECT n.nspname, c.relname, c.relkind::text, obj_description(c.oid, 'pg_class'),
       array_agg(ARRAY[a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::text] ORDER BY a.attnum),
       array_agg(a.attname::text) FILTER (WHERE EXISTS (
           SELECT FROM pg_depend AS d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum
       )),
       EXISTS (
           SELECT FROM pg_depend AS d
           WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype = 'n'
       )
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname IN (%(schema)s, %(home)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
GROUP BY n.nspname, c.oid, c.relname, c.relkind
ORDER BY c.relname
