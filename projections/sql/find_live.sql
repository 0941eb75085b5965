-- the generation that the pointer names
SELECT g.id, g.projection, g.number, g.version, g.fingerprint, g.state, g.schema_name, g.consumer_group, g.topics, g.created_at,
       g.changed_at, g.retire_at, g.detail
FROM projections.pointer p JOIN projections.generation g ON g.id = p.generation
WHERE p.projection = %(projection)s
