-- which live generations have not applied these positions of the events topic yet; one that does not read the topic never has to
SELECT w.projection, m.partition
FROM unnest(%(projections)s::text[]) AS w(projection)
CROSS JOIN unnest(%(partitions)s::integer[], %(xids)s::bigint[], %(sequences)s::bigint[]) AS m(partition, xid, sequence)
LEFT JOIN projections.pointer p ON p.projection = w.projection
LEFT JOIN projections.generation g ON g.id = p.generation
LEFT JOIN projections.checkpoint c ON c.generation = g.id AND c.topic = %(topic)s AND c.partition = m.partition
WHERE g.id IS NULL
   OR (jsonb_exists(g.topics, %(topic)s) AND (coalesce(c.xid, 0), coalesce(c.sequence, 0)) < (m.xid, m.sequence))
