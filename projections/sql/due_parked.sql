-- the keys whose time has come in the partitions of one worker; a record without a key stands for itself
SELECT p.topic, p.partition, p.key, min(p."offset")
FROM projections.parked p JOIN unnest(%(topics)s::text[], %(partitions)s::int[]) AS mine(topic, partition) USING (topic, partition)
WHERE p.generation = %(generation)s AND p.retry_at <= clock_timestamp()
GROUP BY p.topic, p.partition, p.key, CASE WHEN p.key IS NULL THEN p."offset" END
ORDER BY min(p.retry_at) LIMIT %(limit)s
