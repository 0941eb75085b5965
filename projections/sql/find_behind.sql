-- which live generations have not applied these positions of the events topic yet; one that reads what another derives is behind until that
-- one has them and it has applied all that follows; one that reads neither never has to
WITH RECURSIVE chain AS (
    SELECT w.projection, g.id, g.topics FROM unnest(%(projections)s::text[]) AS w(projection)
    LEFT JOIN projections.pointer p ON p.projection = w.projection LEFT JOIN projections.generation g ON g.id = p.generation
    UNION
    SELECT chain.projection, u.id, u.topics FROM chain
    JOIN projections.generation u ON jsonb_exists(chain.topics, u.consumer_group || '.derived')
)
SELECT chain.projection, m.partition
FROM chain
CROSS JOIN unnest(%(partitions)s::integer[], %(xids)s::bigint[], %(sequences)s::bigint[]) AS m(partition, xid, sequence)
WHERE chain.id IS NULL
   OR (jsonb_exists(chain.topics, %(topic)s) AND NOT EXISTS (
        SELECT FROM projections.checkpoint c WHERE c.generation = chain.id AND c.topic = %(topic)s AND c.partition = m.partition
            AND (c.xid, c.sequence) >= (m.xid, m.sequence)))
   OR EXISTS (
        SELECT FROM projections.generation u
        JOIN projections.derived_stand s ON s.generation = u.id AND s.partition = m.partition
        LEFT JOIN projections.checkpoint c
            ON c.generation = chain.id AND c.topic = u.consumer_group || '.derived' AND c.partition = m.partition
        WHERE jsonb_exists(chain.topics, u.consumer_group || '.derived')
          AND (coalesce(c.xid, 0), coalesce(c.sequence, 0)) < least((m.xid, m.sequence), (s.xid, s.sequence)))
