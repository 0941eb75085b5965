-- one process at a time adds the primary keys of a build that several write
SELECT pg_advisory_lock(hashtextextended('refold.keys', %(generation)s))
