-- One page of all events in order, gathered by type and version into one JSON array each, so that thousands are carried and read
-- at once; ended early when it grows too large. A share of the events is chosen by their position, the same ones every time.
-- See read_all.sql for the horizon.
WITH page AS MATERIALIZED (
    SELECT * FROM (
        SELECT e.type, e.schema_version, e.data, e.xid, e.position, pg_column_size(e.data) AS size,
            sum(pg_column_size(e.data)) OVER (ORDER BY e.xid, e.position ROWS UNBOUNDED PRECEDING) AS filled
        FROM eventstore.event AS e
        WHERE e.xid < eventstore.horizon_v1() AND (e.xid, e.position) > (%(xid)s::text::xid8, %(position)s::bigint)
            AND (%(types)s::text[] IS NULL OR e.type = ANY (%(types)s::text[]))
            AND hashint8(e.position) & 65535 < %(share)s
        ORDER BY e.xid, e.position
        LIMIT %(events)s
    ) AS filling
    WHERE filled - size < %(bytes)s
), last AS (
    SELECT p.xid, p.position FROM page AS p ORDER BY p.xid DESC, p.position DESC LIMIT 1
)
SELECT p.type, p.schema_version, count(*), '[' || string_agg(p.data::text, ',' ORDER BY p.xid, p.position) || ']',
    min(l.xid::text)::bigint, min(l.position)
FROM page AS p CROSS JOIN last AS l
GROUP BY p.type, p.schema_version
