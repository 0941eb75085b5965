-- the fence without a move: the partition is still this worker's and stands where it thinks, until this transaction ends
SELECT 1 FROM projections.checkpoint
WHERE generation = %(generation)s AND topic = %(topic)s AND partition = %(partition)s AND epoch = %(epoch)s AND next_offset = %(expected)s
FOR UPDATE
