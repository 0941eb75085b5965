-- where the records of a generation lie that had no effect: those that are parked, and those that somebody left out
SELECT topic, partition, "offset" FROM projections.parked WHERE generation = %(generation)s
UNION
SELECT r.place[1], r.place[2]::integer, r.place[3]::bigint
FROM projections.generation AS g
JOIN projections.audit AS a ON a.projection = g.projection AND a.action = 'skip' AND a.to_generation = g.number
CROSS JOIN LATERAL regexp_match(a.detail ->> 'record', '^(.*)/(\d+)@(\d+)$') AS r(place)
WHERE g.id = %(generation)s
