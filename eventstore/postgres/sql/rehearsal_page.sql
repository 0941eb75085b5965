-- One page of all events in order, ended early when it grows too large. A share of the events is chosen by their position, the
-- same ones every time. See read_all.sql for the horizon.
SELECT type, schema_version, data::text, stream, version, xid::text::bigint, position
FROM (
    SELECT e.type, e.schema_version, e.data, e.stream, e.version, e.xid, e.position, pg_column_size(e.data) AS size,
        sum(pg_column_size(e.data)) OVER (ORDER BY e.xid, e.position ROWS UNBOUNDED PRECEDING) AS filled
    FROM eventstore.event AS e
    WHERE e.xid < eventstore.horizon_v1() AND (e.xid, e.position) > (%(xid)s::text::xid8, %(position)s::bigint)
        AND (%(types)s::text[] IS NULL OR e.type = ANY (%(types)s::text[]))
        AND hashint8(e.position) & 65535 < %(share)s
    ORDER BY e.xid, e.position
    LIMIT %(events)s
) AS page
WHERE filled - size < %(bytes)s
ORDER BY page.xid, page.position
