-- how many derived events each partition of a generation has had, and how many of them wait for their way into the log
SELECT s.partition, s.next_number - 1, (SELECT count(*) FROM projections.derived d WHERE d.generation = s.generation AND d.partition = s.partition)
FROM projections.derived_stand s WHERE s.generation = %(generation)s ORDER BY s.partition
