-- an attempt failed: the next one has its time, and after the last one the effect is dead until somebody decides
UPDATE projections.effect
SET state = CASE WHEN %(retry_s)s::float8 IS NULL THEN 'dead' ELSE 'due' END, reason = %(reason)s, lease_until = NULL,
    retry_at = clock_timestamp() + make_interval(secs => %(retry_s)s::float8)
WHERE projection = %(projection)s AND effect = %(effect)s AND event_id = %(event_id)s AND state = 'due' AND attempts = %(attempts)s
