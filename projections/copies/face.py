"""What readers see who don't ask the catalogue: views in PostgreSQL, and the pointers of sinks. They follow each swap.

A process that dies between the swap and this leaves them at the generation that was live before, which is whole and still fed; the
workers of the live one then move them.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import RefoldError
from eventstore.moments import reach
from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load
from projections.control.generation import Generation
from projections.copies.make import recalled_copies
from projections.declaration.projection import Projection
from projections.readmodels.views import create_views


async def show_live(engine: AsyncEngine, projection: Projection, generation: Generation) -> bool:
    """Point views and sinks at *generation*, which was just made live; False = later, by its workers or by hand. Safe to repeat."""
    shown = await create_views(engine, projection, generation)
    try:
        return await follow(engine, generation) and shown
    except RefoldError:
        return False


async def follow(engine: AsyncEngine, generation: Generation) -> bool:
    """Point the sinks at *generation* if it is live; False = it no longer is. Raises Unreachable for a sink that is away."""
    async with checkout(engine) as connection:
        cursor = await connection.execute(load("projections", "read_turn"), {"projection": generation.projection})
        row = await cursor.fetchone()
    if row is None or row[0] != generation.id:
        return False
    reach("copy.before_point")
    async with recalled_copies(generation) as copies:
        moved = [await each.point(row[1]) for each in copies.values()]
    return all(moved)
