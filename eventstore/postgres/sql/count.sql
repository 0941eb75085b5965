-- How many events an ordered reader that stands at a position would find now.
SELECT count(*)
FROM eventstore.event
WHERE xid < eventstore.horizon_v1() AND (xid, position) > (%s::text::xid8, %s::bigint)
