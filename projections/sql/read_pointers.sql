-- all live generations in one look-up: what a request resolves once
SELECT g.id, g.projection, g.number, g.version, g.fingerprint, g.state, g.schema_name, g.consumer_group, g.topics, g.created_at,
       g.changed_at, g.retire_at, g.detail
FROM projections.pointer p JOIN projections.generation g ON g.id = p.generation
