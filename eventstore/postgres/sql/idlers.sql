-- Roles that log in and may record events, but whose idle transactions no setting of role or database ends.
SELECT r.rolname::text
FROM pg_roles AS r
WHERE r.rolcanlogin
    AND EXISTS (
        SELECT FROM pg_proc AS p WHERE p.pronamespace = 'eventstore'::regnamespace AND p.proname LIKE 'append%'
            AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
    )
    AND NOT EXISTS (
        SELECT FROM pg_db_role_setting AS s, unnest(s.setconfig) AS one
        WHERE s.setrole IN (0, r.oid) AND one LIKE 'idle_in_transaction_session_timeout=%' AND one NOT LIKE '%=0'
            AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
    )
ORDER BY 1
