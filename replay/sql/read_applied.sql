-- the last applied event of each partition, and how far that partition was read
SELECT topic, partition, xid, sequence, greatest(seen_offset, next_offset), next_offset
FROM projections.checkpoint WHERE generation = %(generation)s AND xid IS NOT NULL
