-- take records out of the list, in the transaction that applied them or left them out
DELETE FROM projections.parked
WHERE generation = %(generation)s AND topic = %(topic)s AND partition = %(partition)s AND "offset" = ANY(%(offsets)s::bigint[])
