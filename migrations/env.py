"""What Alembic runs around the revisions: one transaction, our own version table in our own schema, and the grants at its end."""

from alembic import context

from eventstore.postgres.migrate import SCHEMA, VERSION_TABLE
from eventstore.settings import PostgresSettings

MAKE_SCHEMA = f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"
NAME_ROLES = f"SELECT set_config('refold.role_prefix', '{PostgresSettings().role_prefix}', true)"
SETTLE_ROLES = f"""DO $$ BEGIN
    IF to_regproc('{SCHEMA}.settle_roles_v1') IS NOT NULL THEN PERFORM {SCHEMA}.settle_roles_v1(); END IF;
END $$"""
options = {"version_table": VERSION_TABLE, "version_table_schema": SCHEMA}

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", **options)
    with context.begin_transaction():
        print_sql = context.get_context().impl.static_output
        print_sql(f"{MAKE_SCHEMA};\n")
        print_sql(f"{NAME_ROLES};\n")
        context.run_migrations()
        print_sql(f"{SETTLE_ROLES};\n")
else:
    connection = context.config.attributes["connection"]
    connection.exec_driver_sql(MAKE_SCHEMA)
    connection.exec_driver_sql(NAME_ROLES)
    context.configure(connection=connection, **options)
    with context.begin_transaction():
        context.run_migrations()
        connection.exec_driver_sql(SETTLE_ROLES)
