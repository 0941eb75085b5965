-- who moved which projection from where to where, in the move's own transaction
INSERT INTO projections.audit (projection, action, from_generation, to_generation, actor, detail)
VALUES (%(projection)s, %(action)s, %(from_generation)s, %(to_generation)s, %(actor)s, %(detail)s)
RETURNING id
