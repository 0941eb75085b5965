-- it failed again: note why and when it is tried next, and let no later record of its key ask before it
UPDATE projections.parked SET
    attempts = attempts + ("offset" = %(offset)s)::int,
    tried_at = CASE WHEN "offset" = %(offset)s THEN clock_timestamp() ELSE tried_at END,
    reason = CASE WHEN "offset" = %(offset)s THEN %(reason)s ELSE reason END,
    retry_at = CASE WHEN "offset" = %(offset)s THEN clock_timestamp() + make_interval(secs => %(retry_s)s::float8) END
WHERE generation = %(generation)s AND topic = %(topic)s AND partition = %(partition)s
  AND ("offset" = %(offset)s OR sha256(key) = sha256(%(key)s::bytea) AND key = %(key)s::bytea AND retry_at IS NOT NULL)
