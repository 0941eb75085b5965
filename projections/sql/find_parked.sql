-- one parked record with its bytes, for a person
SELECT g.projection, g.number, p.topic, p.partition, p."offset", p.timestamp, p.key, p.value, p.headers, p.reason, p.parked_at, p.attempts,
       p.tried_at, p.retry_at, p.skip
FROM projections.parked p JOIN projections.generation g ON g.id = p.generation
WHERE p.generation = %(generation)s AND p.topic = %(topic)s AND p.partition = %(partition)s AND p."offset" = %(offset)s
