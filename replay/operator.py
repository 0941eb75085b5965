"""One operator per projection: a lock in the database that dies with its holder, and tells others who that is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import HeldElsewhere
from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load
from projections.control.catalogue import describe_actor


@asynccontextmanager
async def operating(engine: AsyncEngine, projection: str) -> AsyncGenerator[None]:
    """Hold the operator's lock of *projection*. Raises HeldElsewhere with the holder's name, pid and since when."""
    async with checkout(engine) as connection:
        name = f"refold replay {describe_actor()}"[:63]
        await connection.execute(load("replay", "name_session"), {"name": name})
        found = await (await connection.execute(load("replay", "try_lock"), {"projection": projection})).fetchone()
        if not found or not found[0]:
            raise HeldElsewhere(await _describe_holder(connection, projection), projection=projection)
        try:
            yield
        finally:
            if not connection.closed:
                await connection.execute(load("replay", "unlock"), {"projection": projection})


async def _describe_holder(connection: Any, projection: str) -> str:
    found = await (await connection.execute(load("replay", "find_holder"), {"projection": projection})).fetchone()
    if found is None:
        who = "someone who just finished"
    else:
        since = f" since {found[2]:%H:%M:%S} UTC" if found[2] else ""  # hidden from logins other than the holder's
        who = f"{found[0]} (database session {found[1]}){since}"
    return (
        f"{projection} is being replayed, swapped or rolled back by {who}. Wait for them, or end that process and run this again."
    )
