-- Which version a stream had at a time: the one before its first event that was recorded later, whatever clocks did in between.
SELECT e.version - 1
FROM eventstore.event AS e
WHERE e.stream = %s AND e.recorded_at > %s
ORDER BY e.version
LIMIT 1
