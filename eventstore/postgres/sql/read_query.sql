-- The events that match a query, and the snapshot they were read with as the marker, in one statement, so that it is that very one.
SELECT eventstore.marker_v1(), e.stream, e.version, e.xid::text::bigint, e.position, e.event_id, e.type, e.schema_version,
    e.data::text, e.metadata::text, e.occurred_at, e.recorded_at, e.tags
FROM (SELECT) AS one
LEFT JOIN (
    SELECT DISTINCT m.xid, m.position
    FROM json_to_recordset(%(items)s::json) AS i (y text[], g text[])
    CROSS JOIN LATERAL eventstore.matching_v1(i.y, i.g, %(after)s::text, %(limit)s::bigint, %(newest)s) AS m
) AS found ON true
LEFT JOIN eventstore.event AS e ON e.xid = found.xid AND e.position = found.position
ORDER BY CASE WHEN %(newest)s THEN NULL ELSE e.xid END, CASE WHEN %(newest)s THEN e.xid END DESC,
    CASE WHEN %(newest)s THEN -e.position ELSE e.position END
LIMIT %(limit)s
