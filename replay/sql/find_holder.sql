-- who holds the operator's lock; a bigint advisory lock is stored as its two halves
SELECT a.application_name, a.pid, a.backend_start AT TIME ZONE 'UTC'
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
CROSS JOIN (SELECT hashtextextended('refold.operator.' || %(projection)s::text, 0) AS key) AS wanted
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.classid::bigint = (wanted.key >> 32) & 4294967295 AND l.objid::bigint = wanted.key & 4294967295
LIMIT 1
