-- move checkpoints, but only those that nobody else has taken or moved, locking them in the order in which a swap does; the caller
-- compares the row count
WITH m AS (
    SELECT * FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(epochs)s::bigint[], %(expected)s::bigint[], %(next)s::bigint[],
                         %(seen)s::bigint[], %(xids)s::bigint[], %(sequences)s::bigint[])
         AS moved(topic, partition, epoch, expected, next, seen, xid, sequence)
), locked AS (
    SELECT c.topic, c.partition FROM projections.checkpoint c JOIN m USING (topic, partition)
    WHERE c.generation = %(generation)s ORDER BY c.topic, c.partition FOR UPDATE OF c
)
UPDATE projections.checkpoint c
SET next_offset = m.next, seen_offset = m.seen, xid = coalesce(m.xid, c.xid), sequence = coalesce(m.sequence, c.sequence),
    updated_at = clock_timestamp()
FROM m JOIN locked USING (topic, partition)
WHERE c.generation = %(generation)s AND c.topic = m.topic AND c.partition = m.partition
  AND c.epoch = m.epoch AND c.next_offset = m.expected
