-- give the operator's lock back
SELECT pg_advisory_unlock(hashtextextended('refold.operator.' || %(projection)s::text, 0))
