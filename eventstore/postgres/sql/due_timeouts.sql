-- The timeouts of a process that were due at a time of this server's clock.
SELECT task_id, instance, timer, name, schema_version, data::text, metadata::text, due_at
FROM eventstore.task
WHERE process = %s AND kind = 'timeout' AND state = 'waiting' AND due_at <= %s
ORDER BY due_at, seq
LIMIT %s
FOR UPDATE
