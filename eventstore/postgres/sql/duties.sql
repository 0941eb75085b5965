-- Each duty beside the matrix: its role, its logins, which grants it lacks and which it has too many; owners own, so they lack none.
WITH actual AS (
    SELECT 'table' AS kind, c.oid::regclass::text AS object, a.grantee, a.privilege_type AS privilege
    FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
    WHERE c.relnamespace::regnamespace::text IN ('eventstore', 'projections', 'privacy')
    UNION ALL
    SELECT 'function', p.proname, a.grantee, a.privilege_type FROM pg_proc AS p CROSS JOIN aclexplode(p.proacl) AS a
    WHERE p.pronamespace::regnamespace::text IN ('eventstore', 'projections', 'privacy')
    UNION ALL
    SELECT 'schema', n.nspname, a.grantee, a.privilege_type FROM pg_namespace AS n CROSS JOIN aclexplode(n.nspacl) AS a
    WHERE n.nspname IN ('eventstore', 'projections', 'privacy')
    UNION ALL
    SELECT 'database', '', a.grantee, a.privilege_type FROM pg_database AS d CROSS JOIN aclexplode(d.datacl) AS a
    WHERE d.datname = current_database()
), wanted AS (
    SELECT DISTINCT p.duty, p.kind, regexp_replace(p.object, CASE p.kind WHEN 'function' THEN '^.*[.]' ELSE '' END, '') AS object,
        trim(w.privilege) AS privilege
    FROM eventstore.privilege AS p CROSS JOIN regexp_split_to_table(p.privileges, ',') AS w (privilege)
    WHERE (p.kind = 'table' AND to_regclass(p.object) IS NOT NULL) OR p.kind = 'database'
        OR (p.kind = 'schema' AND to_regnamespace(p.object) IS NOT NULL) OR (p.kind = 'function' AND EXISTS (
            SELECT FROM pg_proc AS f WHERE p.object IN (f.proname, f.pronamespace::regnamespace || '.' || f.proname)
        ))
), faults AS (
    SELECT coalesce(w.duty, a.duty) AS duty, a.duty IS NULL AS lacks,
        concat_ws(' ', coalesce(w.privilege, a.privilege), coalesce(w.kind, a.kind), nullif(coalesce(w.object, a.object), '')) AS what
    FROM (SELECT * FROM wanted WHERE duty <> 'owner') AS w
    FULL JOIN (
        SELECT d.name AS duty, a.* FROM actual AS a JOIN pg_roles AS r ON r.oid = a.grantee JOIN eventstore.duty AS d ON d.role = r.rolname
        WHERE d.name <> 'owner'
    ) AS a ON (a.duty, a.kind, a.object, a.privilege) = (w.duty, w.kind, w.object, w.privilege)
    WHERE w.duty IS NULL OR a.duty IS NULL
)
SELECT d.name, d.role, r.oid IS NOT NULL,
    ARRAY(SELECT u.rolname::text FROM pg_auth_members AS m JOIN pg_roles AS u ON u.oid = m.member WHERE m.roleid = r.oid ORDER BY 1),
    ARRAY(SELECT f.what FROM faults AS f WHERE f.duty = d.name AND f.lacks ORDER BY 1),
    ARRAY(SELECT f.what FROM faults AS f WHERE f.duty = d.name AND NOT f.lacks ORDER BY 1)
FROM eventstore.duty AS d LEFT JOIN pg_roles AS r ON r.rolname = d.role
ORDER BY d.name
