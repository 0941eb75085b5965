-- Add schemas to the catalogue, all or none.
SELECT eventstore.record_schemas_v1(%s::json, %s)
