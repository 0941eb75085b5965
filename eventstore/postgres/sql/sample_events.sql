-- The oldest few events of every type and version: what today's code is most likely to have forgotten.
SELECT stream, version, xid::text::bigint, position, event_id::text, type, schema_version, data::text, occurred_at
FROM eventstore.event
WHERE (stream, version) IN (
    SELECT ranked.stream, ranked.version FROM (
        SELECT e.stream, e.version, row_number() OVER (PARTITION BY e.type, e.schema_version ORDER BY e.xid, e.position) AS rank
        FROM eventstore.event AS e
        WHERE %(types)s::text[] IS NULL OR e.type = ANY (%(types)s::text[])
    ) AS ranked
    WHERE ranked.rank <= %(count)s
)
ORDER BY type, schema_version, xid, position
