-- The latest route of a topic by Debezium, and whether the relay can read everything that it has to publish before it.
SELECT r.id, r.after, r.until, r.resume_xid::text::bigint, r.settled,
    r.opened_xid < eventstore.horizon_v1() AS readable
FROM eventstore.route AS r WHERE r.topic = %s ORDER BY r.id DESC LIMIT 1
