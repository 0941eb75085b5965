-- Every recorded schema, oldest version first.
SELECT type, version, schema::text, release, recorded_at FROM eventstore.schema ORDER BY type, version
