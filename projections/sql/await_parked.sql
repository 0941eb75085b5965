-- of the keys that were asked for: how many still wait for their owner
SELECT count(*) FROM projections.parked p
JOIN unnest(%(topics)s::text[], %(partitions)s::int[], %(keys)s::bytea[], %(offsets)s::bigint[]) AS asked(topic, partition, key, "offset")
    ON p.topic = asked.topic AND p.partition = asked.partition AND (p.key = asked.key OR p."offset" = asked."offset")
WHERE p.generation = %(generation)s AND p.retry_at <= clock_timestamp()
