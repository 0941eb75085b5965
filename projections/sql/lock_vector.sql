-- the offset vector, with every writer of the generation held back until this transaction ends
SELECT topic, partition, next_offset FROM projections.checkpoint WHERE generation = %(generation)s ORDER BY topic, partition FOR UPDATE
