-- What each replication slot keeps: write-ahead log on the disk, and old rows from vacuum (never events from readers).
SELECT slot_name::text, active, coalesce(wal_status, ''), age(coalesce(xmin, catalog_xmin)),
    coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint
FROM pg_replication_slots
