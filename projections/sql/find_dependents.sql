-- views and materialized views that read from what is in a schema, and would go with it
SELECT DISTINCT format('%%I.%%I', vn.nspname, v.relname)
FROM pg_class AS t
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_rewrite AS r ON r.oid = d.objid
JOIN pg_class AS v ON v.oid = r.ev_class
JOIN pg_namespace AS vn ON vn.oid = v.relnamespace
WHERE n.nspname = %(schema)s AND v.oid <> t.oid
ORDER BY 1
