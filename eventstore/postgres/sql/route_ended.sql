-- Whether every event of the route that was closed can be read: no transaction from before its end still runs.
SELECT r.closed_xid < eventstore.horizon_v1(), r.opened_at, r.source
FROM eventstore.route AS r WHERE NOT r.settled
