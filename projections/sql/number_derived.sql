-- give derived events their numbers, partition by partition: whoever holds the checkpoint's lock is the only one to do so
INSERT INTO projections.derived_stand (generation, partition, next_number, xid, sequence)
SELECT %(generation)s, p, 1 + n, x, s
FROM unnest(%(partitions)s::int[], %(counts)s::bigint[], %(xids)s::bigint[], %(sequences)s::bigint[]) AS made(p, n, x, s)
ON CONFLICT (generation, partition) DO UPDATE
SET next_number = derived_stand.next_number + excluded.next_number - 1, xid = excluded.xid, sequence = excluded.sequence
RETURNING partition, next_number
