"""Dropping generations that nobody reads or feeds any more."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.moments import reach
from eventstore.postgres.engine import checkout
from projections.catalogue import list_generations, move, note
from projections.generation import Generation, State
from projections.loss import drop_lost
from projections.readmodels.postgres import drop_schema


def find_garbage(known: list[Generation], now: datetime, *, force: bool) -> list[Generation]:
    """Give the failed generations and those retired past their grace time (*force*: all retired ones). Pure."""
    return [
        each
        for each in known
        if each.state is State.FAILED
        or (each.state is State.RETIRED and (force or (each.retire_at is not None and each.retire_at <= now)))
    ]


async def collect(engine: AsyncEngine, projection: str | None, *, force: bool) -> list[Generation]:
    """Drop the garbage of *projection* (None = of all): tables first, then the note that they are gone, so a crash repeats the drop."""
    async with checkout(engine) as connection:
        garbage = find_garbage(await list_generations(connection, projection), datetime.now(UTC), force=force)
        for each in garbage:
            reach("gc.before_drop")
            async with engine.begin() as transaction:
                await drop_schema(transaction, each.schema_name)
            await drop_lost(connection, each.id)
            dropped = await move(connection, each, State.DROPPED)
            await note(connection, "drop", dropped, origin=None, detail={})
    return garbage
