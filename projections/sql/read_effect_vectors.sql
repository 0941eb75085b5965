-- where each effect stands; one row of nothing while none has begun, no row at all while another generation is live
SELECT v.effect, v.topic, v.partition, v.next_offset
FROM projections.pointer AS live
LEFT JOIN projections.effect_vector AS v ON v.projection = live.projection AND v.effect = ANY(%(effects)s::text[])
WHERE live.projection = %(projection)s AND live.generation = %(generation)s
