-- set a record aside with its bytes and the reason; a retry of the same batch parks it once
INSERT INTO projections.parked (generation, topic, partition, "offset", key, value, headers, reason)
VALUES (%(generation)s, %(topic)s, %(partition)s, %(offset)s, %(key)s, %(value)s, %(headers)s, %(reason)s)
ON CONFLICT DO NOTHING
