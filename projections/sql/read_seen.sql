-- how far the log was read
SELECT topic, partition, greatest(seen_offset, next_offset) FROM projections.checkpoint WHERE generation = %(generation)s
