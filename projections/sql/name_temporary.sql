-- the schema in which this session's temporary tables lie, by the name that statements can use
SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()
