-- write effects down, of events that lie where their effect has begun and its vector has passed, each once
INSERT INTO projections.effect (projection, effect, event_id, topic, partition, "offset", timestamp, key, value, headers)
SELECT %(projection)s, e.effect, e.event_id, e.topic, e.partition, e."offset", e.timestamp, e.key, e.value, e.headers::jsonb
FROM unnest(%(names)s::text[], %(ids)s::uuid[], %(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[], %(timestamps)s::bigint[],
            %(keys)s::bytea[], %(values)s::bytea[], %(headers)s::text[]) WITH ORDINALITY
     AS e(effect, event_id, topic, partition, "offset", timestamp, key, value, headers, number)
JOIN projections.effect_vector AS v ON v.projection = %(projection)s AND v.effect = e.effect AND v.topic = e.topic
  AND v.partition = e.partition AND e."offset" >= v.first_offset AND e."offset" < v.next_offset
WHERE EXISTS (SELECT FROM projections.pointer AS live WHERE live.projection = %(projection)s AND live.generation = %(generation)s)
ORDER BY e.number
ON CONFLICT DO NOTHING
