-- how many partitions are still whose they were when they were claimed: a newer owner of one may have written rows of any shared table
SELECT count(*) FROM projections.checkpoint c
JOIN unnest(%(topics)s::text[], %(partitions)s::int[], %(epochs)s::bigint[]) AS held(topic, partition, epoch) USING (topic, partition, epoch)
WHERE c.generation = %(generation)s
