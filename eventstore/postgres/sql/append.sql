-- One round trip records a group of appends, each whole or not at all; a column of everything as an array, the cheapest to send.
-- How long it may wait for a lock is set for this transaction first; the function depends on that, so it can't run before.
SELECT a.part, a.code, a.version, a.xid, a.position, a.detail
FROM (SELECT set_config('lock_timeout', coalesce(%s::text, current_setting('lock_timeout')), true) AS patience OFFSET 0) AS s
CROSS JOIN LATERAL eventstore.append_v3(
    CASE WHEN s.patience IS NOT NULL THEN %s::integer[] END, %s::text[], %s::bigint[], %s::integer[],
    %s::uuid[], %s::text[], %s::integer[], %s::jsonb[], %s::jsonb[], %s::timestamptz[], %s::text[], %s::json
) AS a
