-- of the keys that were asked for: the first record that is still parked, and how many wait behind it
SELECT DISTINCT ON (p.topic, p.partition, p.key) p.topic, p.partition, p."offset", p.key, p.reason, p.attempts,
       count(*) OVER (PARTITION BY p.topic, p.partition, p.key) - 1 AS waiting
FROM projections.parked p
JOIN unnest(%(topics)s::text[], %(partitions)s::int[], %(keys)s::bytea[], %(offsets)s::bigint[]) AS asked(topic, partition, key, "offset")
    ON p.topic = asked.topic AND p.partition = asked.partition AND (p.key = asked.key OR p."offset" = asked."offset")
WHERE p.generation = %(generation)s
ORDER BY p.topic, p.partition, p.key, p."offset"
