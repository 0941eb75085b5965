-- has a worker claimed a partition from the build?
SELECT count(*) FROM projections.checkpoint WHERE generation = %(generation)s AND owner LIKE '%% worker'
