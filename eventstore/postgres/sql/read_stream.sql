-- One page of one stream, by version.
SELECT stream, version, xid::text::bigint, position, event_id, type, schema_version, data::text, metadata::text, occurred_at, recorded_at,
    tags
FROM eventstore.event
WHERE stream = %s AND version >= %s AND version <= %s
ORDER BY version
LIMIT %s
