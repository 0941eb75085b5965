-- effects in the states that are asked for, the oldest first, without payloads
SELECT e.projection, e.effect, e.event_id, encode(e.key, 'escape') AS key, e.state, e.attempts, e.retry_at, e.created_at, e.ended_at,
       e.reason, e.outcome
FROM projections.effect AS e
WHERE (%(projection)s::text IS NULL OR e.projection = %(projection)s) AND e.state = ANY(%(states)s::text[])
ORDER BY e.projection, e.number LIMIT %(most)s
