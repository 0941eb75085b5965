-- a session lock: it ends with its holder, however that one ends
SELECT pg_try_advisory_lock(hashtextextended('refold.operator.' || %(projection)s::text, 0))
