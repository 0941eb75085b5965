-- lets a second connection see exactly what this one sees
SELECT pg_export_snapshot()
