-- The timeouts of a process that are due by this server's clock.
SELECT task_id, instance, timer, name, schema_version, data::text, metadata::text, due_at
FROM eventstore.task
WHERE process = %s AND kind = 'timeout' AND state = 'waiting' AND due_at <= clock_timestamp()
ORDER BY due_at, seq
LIMIT %s
FOR UPDATE
