-- One page of the events of streams whose name begins with a prefix, in order; see read_all.sql for the horizon. The order's index
-- is walked and others' events passed over: an index of its own would be paid by every append of everybody.
SELECT stream, version, xid::text::bigint, position, event_id, type, schema_version, data::text, metadata::text, occurred_at, recorded_at,
    tags
FROM eventstore.event AS e
WHERE e.xid < eventstore.horizon_v1() AND (e.xid, e.position) > (%s::text::xid8, %s::bigint) AND starts_with(e.stream, %s)
ORDER BY e.xid, e.position
LIMIT %s
