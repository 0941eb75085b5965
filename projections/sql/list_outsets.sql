-- where each effect of a projection began and stands, and what is open in its ledger
SELECT v.effect, v.topic, v.partition, v.first_offset, v.next_offset, coalesce(o.due, 0), coalesce(o.dead, 0)
FROM projections.effect_vector AS v
LEFT JOIN (SELECT e.effect, count(*) FILTER (WHERE e.state = 'due') AS due, count(*) FILTER (WHERE e.state = 'dead') AS dead
           FROM projections.effect AS e WHERE e.projection = %(projection)s AND e.state IN ('due', 'dead') GROUP BY e.effect) AS o
  ON o.effect = v.effect
WHERE v.projection = %(projection)s
ORDER BY v.effect, v.topic, v.partition
