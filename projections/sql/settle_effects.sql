-- somebody decided: what is dead or has failed is due at once, from the first attempt on; what is dead, or named, is left out for good
UPDATE projections.effect
SET state = %(state)s, attempts = CASE WHEN %(state)s = 'due' THEN 0 ELSE attempts END, retry_at = NULL, lease_until = NULL,
    ended_at = CASE WHEN %(state)s = 'skipped' THEN clock_timestamp() END
WHERE projection = %(projection)s AND state IN ('dead', 'due') AND (state = 'dead' OR %(event_id)s::uuid IS NOT NULL OR (%(state)s = 'due' AND attempts > 0))
  AND (lease_until IS NULL OR lease_until < clock_timestamp())
  AND (%(event_id)s::uuid IS NULL OR event_id = %(event_id)s) AND (%(effect)s::text IS NULL OR effect = %(effect)s)
RETURNING effect, event_id, reason
