-- whoever moves the views of a projection finds those whom it meets before or after, never in midst
SELECT pg_advisory_xact_lock(hashtextextended('refold views ' || %(projection)s, 0))
