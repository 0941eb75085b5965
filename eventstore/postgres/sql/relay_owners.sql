-- Who relays a topic, in the order in which they came: sessions that hold one of its advisory locks, with the locked numbers.
SELECT l.pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'local'), l.pid = pg_backend_pid(),
    array_agg(l.objid::bigint ORDER BY l.objid)
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid::bigint = %s
    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
GROUP BY l.pid, a.application_name, a.client_addr, a.backend_start
ORDER BY a.backend_start NULLS LAST, l.pid
