-- number generations per projection without gaps; the unique index settles a race, and the loser is told to run again
INSERT INTO projections.generation (projection, number, version, fingerprint, state, schema_name, consumer_group, topics, detail)
SELECT %(projection)s, next.number, %(version)s, %(fingerprint)s, 'created',
       'rm_' || %(slug)s || '_g' || next.number, %(prefix)s || '.' || %(projection)s || '.g' || next.number, %(topics)s, %(detail)s
FROM (SELECT coalesce(max(number), 0) + 1 AS number FROM projections.generation WHERE projection = %(projection)s) AS next
RETURNING id, projection, number, version, fingerprint, state, schema_name, consumer_group, topics, created_at, changed_at, retire_at, detail
