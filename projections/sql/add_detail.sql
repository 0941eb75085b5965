-- note in the generation what its replay found, so that a later run knows that this one ended
UPDATE projections.generation SET detail = detail || %(detail)s WHERE id = %(id)s
RETURNING id
