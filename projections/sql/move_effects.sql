-- move the vectors of effects with the checkpoint of the live generation, where nothing lies between; its checkpoint is locked, and a
-- swap needs that lock too, so the pointer is what it is until the caller commits
UPDATE projections.effect_vector AS v SET next_offset = m.until
FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[], %(until)s::bigint[]) AS m(topic, partition, start, until)
WHERE v.projection = %(projection)s AND v.effect = ANY(%(effects)s::text[]) AND v.topic = m.topic AND v.partition = m.partition
  AND v.next_offset >= m.start AND v.next_offset < m.until
  AND EXISTS (SELECT FROM projections.pointer AS live WHERE live.projection = %(projection)s AND live.generation = %(generation)s)
