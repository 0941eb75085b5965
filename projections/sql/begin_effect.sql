-- freeze where an effect begins; whoever was first has decided
INSERT INTO projections.effect_vector (projection, effect, topic, partition, first_offset, next_offset)
SELECT %(projection)s, %(effect)s, t, p, o, o FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[]) AS start(t, p, o)
WHERE EXISTS (SELECT FROM projections.pointer AS live WHERE live.projection = %(projection)s AND live.generation = %(generation)s)
ON CONFLICT DO NOTHING
