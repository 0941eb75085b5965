-- the parked records of one key, in their order, and nobody else decides about them until this transaction ends
SELECT topic, partition, "offset", timestamp, key, value, headers, reason, attempts, skip FROM projections.parked
WHERE generation = %(generation)s AND topic = %(topic)s AND partition = %(partition)s
  AND sha256(key) = sha256(%(key)s::bytea) AND key = %(key)s::bytea
ORDER BY "offset" LIMIT %(limit)s FOR UPDATE
