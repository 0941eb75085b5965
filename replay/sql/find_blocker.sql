-- what one session waits for, and the sessions whose locks it waits for
SELECT a.wait_event_type, a.wait_event, a.query,
       (SELECT string_agg(format('%%s (database session %%s)', coalesce(nullif(b.application_name, ''), b.usename, 'someone'), b.pid), ', ')
        FROM pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(a.pid)))
FROM pg_stat_activity a WHERE a.pid = %(session)s AND a.state <> 'idle'
