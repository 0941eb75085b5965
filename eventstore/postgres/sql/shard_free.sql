-- Give a shard back.
SELECT pg_advisory_unlock(%s::integer, %s::integer)
