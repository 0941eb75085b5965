-- the rows of a generation that were made from events which had lost personal data
SELECT table_name, key FROM projections.redacted WHERE generation = %(generation)s
