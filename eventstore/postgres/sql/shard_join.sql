-- Be counted among those who relay the topic.
SELECT pg_advisory_lock_shared(%s::integer, %s::integer)
