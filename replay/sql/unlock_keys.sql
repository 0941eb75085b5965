-- the primary keys are there, and every other process finds them
SELECT pg_advisory_unlock(hashtextextended('refold.keys', %(generation)s))
