"""Row-level security of tables with tenants: who acts for a tenant sees its rows, who acts for none sees nothing.

The policies are there before the first row. That they hold for the owner too (FORCE) is switched on when a build is complete, because
PostgreSQL refuses COPY into a table whose policies hold for the one who copies, and nobody reads a build. From then on rows come by way
of a temporary table, which live workers use anyway.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from psycopg import Error, sql

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.declaration.projection import Projection
from projections.declaration.table import Table


def compose_policies(table: Table[Any], schema: str) -> list[sql.Composed]:
    """Compose what guards *table*; nothing for a table without tenants. Safe to repeat.

    Only members of the role that owns the table, which is that of the workers, may act for every tenant at once.
    """
    if not table.tenant:
        return []
    target = sql.Identifier(schema, table.name)
    mine = sql.SQL("{} = (SELECT eventstore.tenant_v1())").format(sql.Identifier(table.tenant))
    every = sql.SQL("(SELECT eventstore.tenant_v1()) = '*'")
    return [
        sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(target),
        sql.SQL("DROP POLICY IF EXISTS one_tenant ON {}").format(target),
        sql.SQL("CREATE POLICY one_tenant ON {} USING ({})").format(target, mine),
        sql.SQL("DROP POLICY IF EXISTS every_tenant ON {}").format(target),
        sql.SQL("CREATE POLICY every_tenant ON {} TO CURRENT_USER USING ({})").format(target, every),
    ]


def compose_hiding(table: Table[Any], schema: str) -> sql.Composed:
    """Compose what hides *table* from everybody but its owner's role: there is no policy by which anybody sees a row. Safe to repeat."""
    return sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(sql.Identifier(schema, table.name))


def compose_force(table: Table[Any], schema: str) -> sql.Composed:
    """Compose what makes the policies hold for the owner too."""
    return sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY").format(sql.Identifier(schema, table.name))


@asynccontextmanager
async def every_tenant(connection: Connection, projection: Projection) -> AsyncGenerator[None]:
    """Act for all tenants over *connection* meanwhile, as a worker must; a no-op for a projection without tenants."""
    if not projection.has_tenants:
        yield
        return
    await connection.execute(load("projections", "act_for_all"))
    try:
        yield
    finally:
        with suppress(Error):  # a connection that is broken goes back to no pool
            await connection.rollback()
            await connection.execute(load("projections", "act_for_none"))
