-- which topics fed generations count the offsets of, with Kafka's id of each as it was when its counting began
SELECT g.id, c.topic, min(c.topic_id::text), max(c.next_offset)
FROM projections.checkpoint AS c JOIN projections.generation AS g ON g.id = c.generation
WHERE c.topic = ANY (%(topics)s) AND g.state IN ('created', 'building', 'caught_up', 'verified', 'live', 'retired')
GROUP BY g.id, c.topic ORDER BY g.id, c.topic
