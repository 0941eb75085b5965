-- the next derived events that the log may lack, a part of each partition in its order
SELECT d.partition, d.number, d.timestamp, d.key, d.value
FROM unnest(%(partitions)s::int[], %(numbers)s::bigint[]) AS stand(partition, number)
CROSS JOIN LATERAL (
    SELECT * FROM projections.derived
    WHERE generation = %(generation)s AND partition = stand.partition AND number > stand.number ORDER BY number LIMIT %(most)s
) AS d
ORDER BY d.partition, d.number
