-- take partitions over: a new epoch fences whoever held them; a batch of theirs that is committing is waited for by the row lock
INSERT INTO projections.checkpoint (generation, topic, partition, next_offset, seen_offset, epoch, owner, topic_id)
SELECT %(generation)s, t, p, 0, 0, 1, %(owner)s, i FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(ids)s::uuid[]) AS wanted(t, p, i)
ON CONFLICT (generation, topic, partition)
DO UPDATE SET epoch = checkpoint.epoch + 1, owner = excluded.owner, updated_at = clock_timestamp(),
              topic_id = coalesce(checkpoint.topic_id, excluded.topic_id)
RETURNING topic, partition, next_offset, epoch, topic_id
