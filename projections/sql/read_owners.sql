-- who owns each partition of a generation, how far it is, and when it last said so
SELECT topic, partition, next_offset, seen_offset, epoch, owner, extract(epoch FROM clock_timestamp() - updated_at)::float8 AS age_s
FROM projections.checkpoint WHERE generation = %(generation)s ORDER BY topic, partition
