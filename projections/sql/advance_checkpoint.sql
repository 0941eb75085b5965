-- move checkpoints, but only those that nobody else has taken or moved; the caller compares the row count
UPDATE projections.checkpoint c
SET next_offset = m.next, seen_offset = m.seen, xid = coalesce(m.xid, c.xid), sequence = coalesce(m.sequence, c.sequence),
    updated_at = clock_timestamp()
FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(epochs)s::bigint[], %(expected)s::bigint[], %(next)s::bigint[],
            %(seen)s::bigint[], %(xids)s::bigint[], %(sequences)s::bigint[])
     AS m(topic, partition, epoch, expected, next, seen, xid, sequence)
WHERE c.generation = %(generation)s AND c.topic = m.topic AND c.partition = m.partition
  AND c.epoch = m.epoch AND c.next_offset = m.expected
