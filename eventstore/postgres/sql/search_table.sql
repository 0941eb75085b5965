-- How many rows of a table hold one of the patterns, in whatever column: a row as text holds them all.
SELECT count(*) FROM {} AS r WHERE r::text LIKE ANY (%s)
