-- How many readable events the log does not have yet, and for how long the first of them has waited.
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(e.recorded_at)), 0)::float8
FROM eventstore.event AS e
WHERE e.xid < eventstore.horizon_v1() AND (e.xid, e.position) > (%s::text::xid8, %s::bigint)
