-- One page of all events in order, as the texts that the wire format is made of, ended early when it grows too large: sizes are
-- the stored ones, which are known without reading the data. See read_all.sql for the horizon. What Debezium carries is left
-- out, by the very snapshot that shows the events: see eventstore.route.
SELECT stream, version, xid_number, position, event_id, type, schema_version, data::text, metadata::text,
    to_json(occurred_at)::text, to_json(recorded_at)::text, to_json(tags)::text, (date_part('epoch', recorded_at) * 1000)::bigint
FROM (
    SELECT e.stream, e.version, e.xid::text::bigint AS xid_number, e.position, e.event_id::text, e.type, e.schema_version,
        e.data, e.metadata, e.occurred_at, e.recorded_at, e.tags, pg_column_size(e.data) AS size,
        sum(pg_column_size(e.data)) OVER (ORDER BY e.xid, e.position ROWS UNBOUNDED PRECEDING) AS filled
    FROM eventstore.event AS e
    WHERE e.xid < eventstore.horizon_v1() AND (e.xid, e.position) > (%(xid)s::text::xid8, %(position)s::bigint)
        AND e.position > (SELECT coalesce(max(r.until), 0) FROM eventstore.route AS r WHERE r.topic = %(topic)s AND r.settled AND r.id > %(void)s)
        AND e.position <= (SELECT coalesce(min(r.after), 9223372036854775807) FROM eventstore.route AS r WHERE r.topic = %(topic)s AND NOT r.settled)
    ORDER BY e.xid, e.position
    LIMIT %(events)s
) AS page
WHERE filled - size < %(size)s
