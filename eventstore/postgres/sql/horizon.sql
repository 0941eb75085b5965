-- Where ordered readers must stop, how many readable events lie behind that and for how long the first of them has waited.
SELECT eventstore.horizon_v1()::text::bigint, waiting.events,
    coalesce(extract(epoch FROM clock_timestamp() - waiting.first), 0)::float8
FROM (SELECT count(*) AS events, min(e.recorded_at) AS first FROM eventstore.event AS e WHERE e.xid >= eventstore.horizon_v1())
    AS waiting
