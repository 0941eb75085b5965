-- One round trip records a group of appends, each whole or not at all; ids as an array and the rest as JSON, the cheapest to send.
-- How long it may wait for a lock is set for this transaction first; the function depends on that, so it can't run before.
SELECT a.part, a.code, a.version, a.xid, a.position, a.detail
FROM (SELECT set_config('lock_timeout', coalesce(%s::text, current_setting('lock_timeout')), true) AS patience OFFSET 0) AS s
CROSS JOIN LATERAL eventstore.append_v2(CASE WHEN s.patience IS NOT NULL THEN %s::json END, %s::uuid[], %s::json, %s::json) AS a
