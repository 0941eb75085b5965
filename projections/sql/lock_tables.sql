-- rows of a shared table may be touched from several partitions: one batch at a time reads, folds and writes them
SELECT pg_advisory_xact_lock(hashtextextended('refold.tables', %(generation)s))
