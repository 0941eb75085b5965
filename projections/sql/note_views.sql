-- why the views for people do not show this generation yet; none = they do
UPDATE projections.generation SET detail = (detail - 'views') || jsonb_strip_nulls(jsonb_build_object('views', %(reason)s::text))
WHERE id = %(id)s AND detail ->> 'views' IS DISTINCT FROM %(reason)s::text
