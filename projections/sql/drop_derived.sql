-- forget what a dropped generation derived, and where it stood
WITH gone AS (DELETE FROM projections.derived WHERE generation = %(generation)s)
DELETE FROM projections.derived_stand WHERE generation = %(generation)s
