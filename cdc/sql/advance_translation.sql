-- move checkpoints within the transaction that records the events, provided that they are still ours and where we left them
UPDATE eventstore.translation AS t
SET next_offset = given.next, reason = NULL, blocked = NULL, updated_at = clock_timestamp()
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(epochs)s::bigint[], %(expected)s::bigint[], %(next)s::bigint[])
    AS given (topic, partition, epoch, expected, next)
WHERE t.name = %(name)s AND t.topic = given.topic AND t.partition = given.partition AND t.epoch = given.epoch
    AND t.next_offset = given.expected
