"""Two generations of a projection side by side: how many rows differ, which, and by which events.

Both are read in one snapshot. Where workers feed both, their vectors meet now and then, and the comparison waits a little for that;
otherwise it says by how much they are apart, because then rows differ for no fault.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString, cast

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import UsageError
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.statements import load
from projections.control.checkpoint import Vector, read_vector
from projections.control.generation import Generation, State
from projections.declaration.chain import find_upstream
from projections.declaration.projection import Projection
from projections.readmodels.policies import every_tenant
from replay.verification.verify import Report, compare


@dataclass(slots=True)
class Contrast:
    """The report, with `live` and `new` standing for *left* and *right*; *apart* = records between their vectors, by partition.

    Where each reads what another generation derived, it is the distance in the store's positions.
    """

    left: Generation
    right: Generation
    report: Report
    apart: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def is_level(self) -> bool:
        """True when both were compared at one vector."""
        return not self.apart

    @property
    def skipped(self) -> list[str]:
        """Tables whose columns differ, so that rows can't be compared."""
        return [each.table for each in self.report.tables if not each.equal and not each.live_rows and not each.changed]


def find_generation(known: Sequence[Generation], given: str) -> Generation:
    """Find the generation that an operator calls `g2` or `2`. Raises UsageError, also for one whose tables are gone. Pure."""
    number = given.removeprefix("g")
    found = next((each for each in known if str(each.number) == number), None)
    if found is None or found.state is State.DROPPED:
        there = ", ".join(f"g{each.number} {each.state}" for each in known if each.state is not State.DROPPED) or "none"
        raise UsageError(f"there is no generation {given!r} to look at; there is: {there}")
    return found


async def contrast(
    projection: Projection, engine: AsyncEngine, pair: tuple[Generation, Generation], *, samples: int, wait_s: float
) -> Contrast:
    """Compare the generations of *pair*, waiting up to *wait_s* seconds for a snapshot in which both have one vector."""
    until = time.monotonic() + wait_s
    while True:
        async with _one_snapshot(projection, engine) as (left, right):
            levels = [await _read_level(left, projection, *each) for each in (pair, pair[::-1])]
            apart = find_gap(*levels)
            if not apart or time.monotonic() >= until:
                sides = (pair[0].schema_name, left), (pair[1].schema_name, right)
                return Contrast(*pair, await compare(projection, *sides, samples=samples), apart)
        await asyncio.sleep(0.05)


def find_gap(left: Vector, right: Vector) -> dict[str, int]:
    """Give how far *right* is ahead of *left* (negative = behind), for each partition in which they differ. Pure."""
    both = sorted({*left, *right})
    gaps = {f"{topic}[{number}]": right.get((topic, number), 0) - left.get((topic, number), 0) for topic, number in both}
    return {each: gap for each, gap in gaps.items() if gap}


async def _read_level(connection: Connection, projection: Projection, generation: Generation, other: Generation) -> Vector:
    """Give the vector of *generation*, with positions of the store for offsets in what was derived for it alone.

    Two generations may read what two generations of another projection derived. Their offsets say nothing of each other; both are level
    when what they last read follows from the same event.
    """
    vector = await read_vector(connection, generation.id)
    found = [(each.name, each.find(generation.topics)) for each in find_upstream(projection).values()]
    apart = {topic: name for name, topic in found if topic is not None and topic not in other.topics}
    if not apart:
        return vector
    rows = await (await connection.execute(load("replay", "read_applied"), {"generation": generation.id})).fetchall()
    positions = {(apart[topic], number): sequence for topic, number, _, sequence, *_ in rows if topic in apart}
    return {each: offset for each, offset in vector.items() if each[0] not in apart} | positions


@asynccontextmanager
async def _one_snapshot(projection: Projection, engine: AsyncEngine) -> AsyncGenerator[tuple[Connection, Connection]]:
    async with (
        checkout(engine) as left,
        checkout(engine) as right,
        every_tenant(left, projection),
        every_tenant(right, projection),
        left.transaction(),
    ):
        await left.execute(load("replay", "begin_snapshot"))
        row: Any = await (await left.execute(load("replay", "export_snapshot"))).fetchone()
        async with right.transaction():
            await right.execute(load("replay", "begin_snapshot"))
            await right.execute(_name_snapshot(row[0]))
            yield left, right


def _name_snapshot(snapshot: str) -> LiteralString:
    """Put what PostgreSQL called the snapshot into the statement, which takes no parameter."""
    assert re.fullmatch(r"[0-9A-Fa-f-]+", snapshot)
    return cast("LiteralString", load("replay", "join_snapshot").replace("$snapshot", snapshot))
