-- Take a shard if it is free.
SELECT pg_try_advisory_lock(%s::integer, %s::integer)
