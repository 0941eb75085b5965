-- Who holds ordered readers back: whoever has a transaction id, in any database of the server, and prepared transactions; the
-- oldest id first, for only that one decides. age() compares 32-bit ids across their wrap.
SELECT h.pid, h.usename, h.application_name, h.datname, h.state, h.open_s, h.idle_s, h.query, h.gid
FROM (
    SELECT age(a.backend_xid) AS age, a.pid, a.usename::text, a.application_name, a.datname::text, a.state,
        extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS open_s,
        extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS idle_s, a.query, NULL AS gid
    FROM pg_stat_activity AS a
    WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
    UNION ALL
    SELECT age(p.transaction), NULL, p.owner::text, NULL, p.database::text, 'prepared',
        extract(epoch FROM clock_timestamp() - p.prepared)::float8, NULL, NULL, p.gid
    FROM pg_prepared_xacts AS p
) AS h
ORDER BY h.age DESC
LIMIT %s
