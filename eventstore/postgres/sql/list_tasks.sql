-- Tasks in a state, the oldest first, for people.
SELECT task_id, kind, name, state, lane, process, instance, due_at, attempts, reason
FROM eventstore.task
WHERE state = %s
ORDER BY due_at, seq
LIMIT %s
