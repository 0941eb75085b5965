"""Making another generation live: one transaction, at an agreed offset vector, and back the same way.

The pointer's row is locked, then the live generation's checkpoint, which holds its writers back for a moment. The target is
taken to the vector found there, or past it, so no reader goes back in time. Then one row changes. Readers are never locked out:
a request that resolved the pointer before the commit goes on with the old generation, which is still fed for a grace time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import PreconditionFailed
from eventstore.moments import reach
from eventstore.postgres.engine import checkout
from projections.control.catalogue import add_detail, find_live, lock_pointer, move, note, set_pointer
from projections.control.checkpoint import Vector, has_reached, read_vector
from projections.control.generation import Generation, State
from projections.control.parking import count_parked

Reaching = Callable[[Vector], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Swap:
    """What a swap did: the generations, how long the live one's writers were held back, and how many records the new one lacks."""

    live: Generation
    retired: Generation | None
    held_s: float
    parked: int


async def swap(  # noqa: PLR0913 - a swap is what it is
    engine: AsyncEngine,
    target: Generation,
    reach_vector: Reaching,
    *,
    action: str,
    grace_s: float,
    limit_s: float,
    detail: Mapping[str, Any],
    mark: str | None = None,
) -> Swap:
    """Make *target* live. *reach_vector* must return once the target has reached a vector, and may take up to *limit_s* seconds.

    *mark* is noted in the target in the same transaction, so that a replay which dies right after is known to have swapped, and one
    whose generation somebody else made live is known to have ended. So is, in the audit, how many records are parked in the target:
    counted at the vector, for those that it set aside on its way there.

    Raises PreconditionFailed, with nothing changed, when the target did not get there in time or someone else swapped first.
    """
    async with checkout(engine) as connection:
        started = time.monotonic()
        try:
            async with connection.transaction(), asyncio.timeout(limit_s):
                live = await _lock_live(connection, target)
                reach("swap.pointer_locked")
                if live is not None:
                    await reach_vector(await _common_vector(connection, live, target))
                parked = await count_parked(connection, target.id)
                await set_pointer(connection, target.projection, target.id)
                now_live = await move(connection, target, State.LIVE)
                retired = await move(connection, live, State.RETIRED, retire_after_s=grace_s) if live else None
                if mark:
                    await add_detail(connection, target, {"replay": mark})
                told = {**detail, "parked": parked} if parked else detail
                await note(connection, action, now_live, origin=live, detail=told)
                reach("swap.before_commit")
        except TimeoutError:
            raise PreconditionFailed(
                f"{target} did not reach the live generation's offsets within {limit_s:g} s, so nothing was swapped. "
                "Is a worker of its release running? See `projections list`."
            ) from None
        held = time.monotonic() - started
    reach("swap.after_commit")
    return Swap(now_live, retired, held, parked)


async def _lock_live(connection: Any, target: Generation) -> Generation | None:
    pointed = await lock_pointer(connection, target.projection)
    live = await find_live(connection, target.projection)
    if live is not None and live.id == target.id:
        raise PreconditionFailed(f"{target} is live already; nothing to do")
    assert (live.id if live else None) == pointed
    return live


async def _common_vector(connection: Any, live: Generation, target: Generation) -> Vector:
    vector = await read_vector(connection, live.id, lock=True)
    return {each: offset for each, offset in vector.items() if each[0] in target.topics}


def wait_for_workers(engine: AsyncEngine, target: Generation) -> Reaching:
    """Give a `reach_vector` for a generation that workers feed: it looks until they have got there."""

    async def reach_vector(vector: Vector) -> None:
        pause = 0.001
        async with checkout(engine) as connection:
            while not has_reached(await read_vector(connection, target.id), vector):
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 0.02)

    return reach_vector
