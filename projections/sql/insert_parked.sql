-- set a record aside with its bytes and the reason; a retry of the same batch parks it once
INSERT INTO projections.parked (generation, topic, partition, "offset", timestamp, key, value, headers, reason, retry_at)
VALUES (%(generation)s, %(topic)s, %(partition)s, %(offset)s, %(timestamp)s, %(key)s, %(value)s, %(headers)s, %(reason)s,
        clock_timestamp() + make_interval(secs => %(retry_s)s::float8))
ON CONFLICT DO NOTHING
