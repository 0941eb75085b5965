-- every generation of a projection (or of all), newest first, for status and for workers that look for theirs
SELECT id, projection, number, version, fingerprint, state, schema_name, consumer_group, topics, created_at, changed_at, retire_at, detail
FROM projections.generation
WHERE %(projection)s::text IS NULL OR projection = %(projection)s
ORDER BY projection, number DESC
