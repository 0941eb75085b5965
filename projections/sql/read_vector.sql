-- the offset vector as of the transaction's snapshot
SELECT topic, partition, next_offset FROM projections.checkpoint WHERE generation = %(generation)s
