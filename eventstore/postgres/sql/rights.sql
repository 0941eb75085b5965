-- What this role may do: read events, record them, and see what other roles run.
SELECT current_user::text, has_table_privilege('eventstore.event', 'SELECT'),
    (SELECT bool_or(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_proc AS p
        WHERE p.pronamespace = 'eventstore'::regnamespace AND p.proname LIKE 'append%'),
    pg_has_role('pg_read_all_stats', 'USAGE')
