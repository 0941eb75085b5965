-- take due effects for a while: the first of each key, unless somebody has it; a lease that ran out is free again, and attempts fences
UPDATE projections.effect AS e
SET lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s), holder = %(holder)s, attempts = e.attempts + 1
WHERE (e.projection, e.effect, e.event_id) IN (
    SELECT c.projection, c.effect, c.event_id FROM projections.effect AS c
    WHERE c.projection = %(projection)s AND c.effect = ANY(%(effects)s::text[]) AND c.state = 'due'
      AND (c.retry_at IS NULL OR c.retry_at <= clock_timestamp())
      AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp())
      AND NOT EXISTS (
          SELECT FROM projections.effect AS b
          WHERE b.projection = c.projection AND b.effect = c.effect AND sha256(b.key) = sha256(c.key) AND b.key = c.key
            AND b.state IN ('due', 'dead') AND b.number < c.number
      )
    ORDER BY c.number LIMIT %(most)s FOR UPDATE OF c SKIP LOCKED
)
AND EXISTS (SELECT FROM projections.pointer AS live WHERE live.projection = %(projection)s AND live.generation = %(generation)s)
RETURNING e.effect, e.event_id, e.topic, e.partition, e."offset", e.timestamp, e.key, e.value, e.headers, e.attempts, e.number
