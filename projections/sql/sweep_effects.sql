-- forget what was carried out long ago
DELETE FROM projections.effect
WHERE projection = %(projection)s AND state IN ('done', 'skipped') AND ended_at < clock_timestamp() - make_interval(secs => %(age_s)s)
