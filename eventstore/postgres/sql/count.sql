-- How many events an ordered reader that stands at a position would find now.
SELECT count(*)
FROM eventstore.event
WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) AND (xid, position) > (%s::text::xid8, %s::bigint)
