-- take partitions over: a new epoch fences whoever held them; a batch of theirs that is committing is waited for by the row lock
INSERT INTO projections.checkpoint (generation, topic, partition, next_offset, seen_offset, epoch, owner)
SELECT %(generation)s, t, p, 0, 0, 1, %(owner)s FROM unnest(%(topics)s::text[], %(partitions)s::int[]) AS wanted(t, p)
ON CONFLICT (generation, topic, partition)
DO UPDATE SET epoch = checkpoint.epoch + 1, owner = excluded.owner, updated_at = clock_timestamp()
RETURNING topic, partition, next_offset, epoch
