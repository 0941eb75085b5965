"""What Alembic runs around the revisions: one transaction, our own version table in our own schema."""

from alembic import context

from eventstore.postgres.migrate import SCHEMA, VERSION_TABLE

MAKE_SCHEMA = f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"
options = {"version_table": VERSION_TABLE, "version_table_schema": SCHEMA}

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", **options)
    with context.begin_transaction():
        context.get_context().impl.static_output(MAKE_SCHEMA + ";\n")
        context.run_migrations()
else:
    connection = context.config.attributes["connection"]
    connection.exec_driver_sql(MAKE_SCHEMA)
    context.configure(connection=connection, **options)
    with context.begin_transaction():
        context.run_migrations()
