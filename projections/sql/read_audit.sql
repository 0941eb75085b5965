-- the newest moves of a projection
SELECT projection, action, from_generation, to_generation, actor, at, detail
FROM projections.audit
WHERE projection = %(projection)s AND (NOT %(moves)s OR from_generation <> to_generation) ORDER BY id DESC LIMIT %(limit)s
