-- Note why an attempt failed, and when the next one may be; none = the task is set aside for a person.
UPDATE eventstore.task
SET state = CASE WHEN %(retry_s)s::float8 IS NULL THEN 'failed' ELSE 'waiting' END,
    retry_at = clock_timestamp() + make_interval(secs => coalesce(%(retry_s)s::float8, 0)), lease_until = NULL, reason = %(reason)s,
    ended_at = CASE WHEN %(retry_s)s::float8 IS NULL THEN clock_timestamp() END
WHERE task_id = %(task_id)s AND attempts = %(attempts)s AND state = 'waiting'
