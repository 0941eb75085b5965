-- what is set aside, oldest first, without payloads
SELECT g.projection, g.number, p.topic, p.partition, p."offset", encode(p.key, 'escape') AS key, p.reason, p.parked_at,
       octet_length(p.value) AS bytes, p.attempts, p.retry_at, p.skip
FROM projections.parked p JOIN projections.generation g ON g.id = p.generation
WHERE %(projection)s::text IS NULL OR g.projection = %(projection)s
ORDER BY g.projection, g.number, p.topic, p.partition, p."offset"
