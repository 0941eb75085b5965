-- One page of all events in order. The horizon (no transaction below it runs any more) comes from the snapshot that the rows are
-- read with, so nothing can appear behind a position that was given out. `e.xid`, or ORDER BY would mean the cast column and sort.
SELECT stream, version, xid::text::bigint, position, event_id, type, schema_version, data::text, metadata::text, occurred_at, recorded_at,
    tags
FROM eventstore.event AS e
WHERE e.xid < eventstore.horizon_v1() AND (e.xid, e.position) > (%s::text::xid8, %s::bigint)
ORDER BY e.xid, e.position
LIMIT %s
