-- somebody decided to leave this record out; the owner of its partition does so, and goes on with the later ones of its key
UPDATE projections.parked SET skip = true, retry_at = clock_timestamp()
WHERE generation = %(generation)s AND topic = %(topic)s AND partition = %(partition)s AND "offset" = %(offset)s
RETURNING topic, partition, key, "offset"
