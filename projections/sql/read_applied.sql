-- where each of these generations stands, in the reader's own snapshot: together with what was mended, all that its rows depend on
SELECT generation, topic, partition, next_offset FROM projections.checkpoint WHERE generation = ANY(%(generations)s)
ORDER BY generation, topic, partition
