-- One page of the events that Debezium was to carry, in order, as relay_page.sql gives those of the relay.
SELECT e.stream, e.version, e.xid::text::bigint, e.position, e.event_id::text, e.type, e.schema_version, e.data::text, e.metadata::text,
    to_json(e.occurred_at)::text, to_json(e.recorded_at)::text, to_json(e.tags)::text, (date_part('epoch', e.recorded_at) * 1000)::bigint
FROM eventstore.event AS e
WHERE e.xid < eventstore.horizon_v1() AND (e.xid, e.position) > (%(xid)s::text::xid8, %(position)s::bigint)
    AND e.position > %(first)s AND e.position <= %(last)s
ORDER BY e.xid, e.position
LIMIT %(events)s
