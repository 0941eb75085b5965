-- the key has more records than one transaction takes: its owner goes on with the first of them at once
UPDATE projections.parked SET retry_at = clock_timestamp()
WHERE generation = %(generation)s AND topic = %(topic)s AND partition = %(partition)s AND "offset" = (
    SELECT min("offset") FROM projections.parked WHERE generation = %(generation)s AND topic = %(topic)s AND partition = %(partition)s
    AND sha256(key) = sha256(%(key)s::bytea) AND key = %(key)s::bytea)
