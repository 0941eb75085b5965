-- take partitions over: the raised epoch fences whoever had them; a topic that was made anew is told by its id
INSERT INTO eventstore.translation AS t (name, topic, partition, next_offset, owner, topic_id)
SELECT %(name)s, given.topic, given.partition, given.start, %(owner)s, given.topic_id
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(starts)s::bigint[], %(ids)s::uuid[])
    AS given (topic, partition, start, topic_id)
ON CONFLICT (name, topic, partition) DO UPDATE
SET epoch = t.epoch + 1, owner = excluded.owner, topic_id = coalesce(t.topic_id, excluded.topic_id), updated_at = clock_timestamp()
RETURNING topic, partition, next_offset, epoch, topic_id
