"""Stable names for psql and BI: a view per table, `<projection>.<table>`, that follows the live generation right after each swap.

Best effort: the views move in a transaction of their own, with a lock timeout, because a long report must not hold up a swap.
Web apps use `ReadModels.session`, which is exact.
"""

from __future__ import annotations

from psycopg import Error, sql
from psycopg.errors import InsufficientPrivilege
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.statements import load
from projections.generation import Generation
from projections.projection import Projection

LOCK = sql.SQL("SET LOCAL lock_timeout = '2s'")


async def create_views(engine: AsyncEngine, projection: Projection, generation: Generation) -> bool:
    """Point the views of *projection* at *generation*; False when a reader held them for too long. Safe to repeat."""
    async with checkout(engine) as connection:
        try:
            try:
                await _replace(connection, projection, generation, shared=True)
            except InsufficientPrivilege:  # views of the time before there were roles belong to a login
                await _replace(connection, projection, generation, shared=False)
        except Error:
            return False
    return True


async def _replace(connection: Connection, projection: Projection, generation: Generation, *, shared: bool) -> None:
    async with connection.transaction():
        await connection.execute(LOCK)
        if shared:
            await connection.execute(load("projections", "become_projector"))
        for statement in compose_views(projection, generation):
            await connection.execute(statement)


def compose_views(projection: Projection, generation: Generation) -> list[sql.Composed]:
    """Compose the statements that move the views; a view is made anew because its columns may have changed. Pure."""
    home = sql.Identifier(projection.slug)
    statements = [sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(home)]
    for table in projection.tables:
        view = sql.Identifier(projection.slug, table.name)
        rows = sql.Identifier(generation.schema_name, table.name)
        statements.append(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
        statements.append(sql.SQL("CREATE VIEW {} WITH (security_invoker = true) AS SELECT * FROM {}").format(view, rows))
    return statements
