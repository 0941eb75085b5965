-- write derived events down in the transaction that writes the rows that they follow from
INSERT INTO projections.derived (generation, partition, number, timestamp, key, value)
SELECT %(generation)s, * FROM unnest(%(partitions)s::int[], %(numbers)s::bigint[], %(timestamps)s::bigint[], %(keys)s::bytea[], %(values)s::bytea[])
