-- a generation whose tables are gone has no rows to explain
DELETE FROM projections.redacted WHERE generation = %(generation)s
