-- forget derived events that are in the log
DELETE FROM projections.derived d USING unnest(%(partitions)s::int[], %(numbers)s::bigint[]) AS stand(partition, number)
WHERE d.generation = %(generation)s AND d.partition = stand.partition AND d.number <= stand.number
