-- lag is end offset minus this; it never decides anything
UPDATE projections.checkpoint c
SET seen_offset = m.seen, updated_at = clock_timestamp()
FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(epochs)s::bigint[], %(seen)s::bigint[]) AS m(topic, partition, epoch, seen)
WHERE c.generation = %(generation)s AND c.topic = m.topic AND c.partition = m.partition AND c.epoch = m.epoch
