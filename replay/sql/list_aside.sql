-- what a generation set aside had no effect on its rows; nor had, for ever, what somebody decided to leave out of this generation
SELECT p.topic, p.partition, p."offset", p.skip FROM projections.parked AS p WHERE p.generation = %(generation)s
UNION
SELECT r.place[1], r.place[2]::integer, r.place[3]::bigint, true
FROM projections.generation AS g
JOIN projections.audit AS a ON a.projection = g.projection AND a.action = 'skip' AND a.to_generation = g.number
CROSS JOIN LATERAL regexp_match(a.detail ->> 'record', '^(.*)/(\d+)@(\d+)$') AS r(place)
WHERE g.id = %(generation)s
