-- which tables, with which columns, a generation has; a new release may have others
SELECT table_name, array_agg(column_name::text ORDER BY ordinal_position)
FROM information_schema.columns WHERE table_schema = %(schema)s GROUP BY table_name
