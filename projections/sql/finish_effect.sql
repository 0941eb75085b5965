-- cross an effect off, by whoever has it still
UPDATE projections.effect
SET state = 'done', outcome = %(outcome)s, ended_at = clock_timestamp(), lease_until = NULL, reason = NULL
WHERE projection = %(projection)s AND effect = %(effect)s AND event_id = %(event_id)s AND state = 'due' AND attempts = %(attempts)s
