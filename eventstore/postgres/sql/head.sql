-- Where an ordered reader that has read everything stands.
SELECT e.xid::text::bigint, e.position
FROM eventstore.event AS e
WHERE e.xid < eventstore.horizon_v1()
ORDER BY e.xid DESC, e.position DESC
LIMIT 1
