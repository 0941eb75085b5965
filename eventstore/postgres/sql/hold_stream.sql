-- Take the lock that append_v1 takes, before the stream is read, so that nobody appends between the reading and the append.
SELECT pg_advisory_xact_lock(1919247972, hashtext(%s))
