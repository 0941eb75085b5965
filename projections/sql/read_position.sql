-- has the live generation applied the event of a token? Its partition's last applied position tells.
SELECT coalesce(c.xid, 0), coalesce(c.sequence, 0)
FROM projections.pointer p
JOIN projections.checkpoint c ON c.generation = p.generation
WHERE p.projection = %(projection)s AND c.topic = %(topic)s AND c.partition = %(partition)s
