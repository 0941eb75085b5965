-- Every event that is sealed with a key, as stored.
SELECT event_id::text, type, schema_version, data::text FROM eventstore.event
WHERE metadata ? 'subjectkey' AND metadata ->> 'subjectkey' = %s
ORDER BY xid, position
