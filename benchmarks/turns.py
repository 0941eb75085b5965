"""Two generations that take turns in being live, and readers who look on; for `benchmarks/swap.py` and a test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.transfers import Seen, read
from eventstore.postgres.engine import checkout
from projections.control.catalogue import list_generations
from projections.control.generation import State
from projections.serving import ReadModels
from replay.cutover import swap, wait_for_workers


async def mark_rows(engine: AsyncEngine) -> None:
    """Mark each generation's rows with its number."""
    async with checkout(engine) as connection:
        for each in await list_generations(connection, "transfers"):
            for table in ("account", "tally"):
                await connection.execute(f"UPDATE {each.schema_name}.{table} SET mark = {each.number}")


async def swap_times(engine: AsyncEngine, count: int) -> list[float]:
    """Let the live and the retired generation change places *count* times; give the milliseconds for which writers were held."""
    held: list[float] = []
    for _ in range(count):
        async with checkout(engine) as connection:
            target = next(each for each in await list_generations(connection, "transfers") if each.state is State.RETIRED)
        done = await swap(
            engine, target, wait_for_workers(engine, target), action="swap", grace_s=900, limit_s=60, detail={"benchmark": True}
        )
        held.append(1000 * done.held_s)
    return held


@contextlib.asynccontextmanager
async def reading(models: ReadModels, readers: int) -> AsyncIterator[Seen]:
    """Let so many readers read meanwhile."""
    seen, stopping = Seen(), asyncio.Event()
    tasks = [asyncio.create_task(read(models, seen, stopping)) for _ in range(readers)]
    try:
        yield seen
    finally:
        stopping.set()
        await asyncio.gather(*tasks)
