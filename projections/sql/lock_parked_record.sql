-- one parked record, and nobody else decides about it until this transaction ends
SELECT topic, partition, "offset", timestamp, key, value, headers, reason, attempts, skip FROM projections.parked
WHERE generation = %(generation)s AND topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s FOR UPDATE
