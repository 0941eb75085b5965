-- What holds ordered readers back: the oldest running transaction, and how long the first event behind it has waited.
SELECT
    coalesce(extract(epoch FROM clock_timestamp() - (
        SELECT e.recorded_at FROM eventstore.event AS e
        WHERE e.xid >= pg_snapshot_xmin(pg_current_snapshot()) ORDER BY e.xid, e.position LIMIT 1
    )), 0)::float8 AS lag_s,
    holder.pid, holder.application, holder.state, holder.open_s, holder.query
FROM (SELECT) AS one
LEFT JOIN LATERAL (
    SELECT a.pid, a.application_name AS application, a.state,
        extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS open_s, a.query
    FROM pg_stat_activity AS a
    WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
    UNION ALL
    SELECT NULL, 'prepared transaction ' || p.gid, 'prepared', extract(epoch FROM clock_timestamp() - p.prepared)::float8, ''
    FROM pg_prepared_xacts AS p
    ORDER BY open_s DESC
    LIMIT 1
) AS holder ON true
