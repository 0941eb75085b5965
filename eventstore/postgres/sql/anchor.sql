-- One digest over the last link of every stream as of a position; what lies at or before a readable position never grows again.
WITH bound AS (
    SELECT coalesce(%(xid)s::text::xid8, h.xid) AS xid, coalesce(%(sequence)s::bigint, h.position) AS position
    FROM (SELECT) AS one LEFT JOIN LATERAL (
        SELECT e.xid, e.position FROM eventstore.event AS e WHERE e.xid < eventstore.horizon_v1()
        ORDER BY e.xid DESC, e.position DESC LIMIT 1
    ) AS h ON true
), head AS (
    SELECT DISTINCT ON (c.stream) c.stream, c.version, c.hash
    FROM eventstore.chain AS c JOIN eventstore.event AS e ON e.stream = c.stream AND e.version = c.version, bound AS b
    WHERE (e.xid, e.position) <= (b.xid, b.position)
    ORDER BY c.stream, c.version DESC
)
SELECT coalesce(b.xid::text::bigint, 0), coalesce(b.position, 0),
    (SELECT count(*) FROM head),
    encode(coalesce((SELECT eventstore.chain_v1(NULL, convert_to(jsonb_build_array(h.stream, h.version, encode(h.hash, 'hex'))::text, 'UTF8')
        ORDER BY h.stream) FROM head AS h), sha256('')), 'hex')
FROM bound AS b
