-- Schemas can be recorded again from the code that has them; events stay readable without this catalogue.
DROP FUNCTION eventstore.record_schemas_v1;
DROP TABLE eventstore.schema;
