-- why records of captured tables wait whose columns are no longer those that handlers were written for
SELECT DISTINCT reason FROM projections.parked
WHERE generation = %(generation)s AND reason LIKE 'SchemaDrifted:%%' ORDER BY reason LIMIT 5
