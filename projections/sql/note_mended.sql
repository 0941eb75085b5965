-- rows changed though no checkpoint moved: readers that compare states must see another one
UPDATE projections.generation
SET detail = detail || jsonb_build_object('mended', coalesce((detail ->> 'mended')::bigint, 0) + 1)
WHERE id = %(id)s
RETURNING id
