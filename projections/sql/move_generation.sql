-- one legal move; no row when someone else moved it first
UPDATE projections.generation
SET state = %(there)s,
    changed_at = clock_timestamp(),
    retire_at = CASE WHEN %(retire_after_s)s::float8 IS NULL THEN NULL
                     ELSE clock_timestamp() + make_interval(secs => %(retire_after_s)s::float8) END
WHERE id = %(id)s AND state = %(here)s
RETURNING id, projection, number, version, fingerprint, state, schema_name, consumer_group, topics, created_at, changed_at, retire_at, detail
