"""Copies whose sinks are away: rows go on in PostgreSQL, what a copy lacks is owed (`debt`), and paid when its sink answers again.

A probe asks the sink beside the batches, so that a server which answers nobody holds up nobody. Then the copy is claimed and what is
owed is brought to it, a few thousand rows at a time, each step with the checkpoints locked for as long as that takes: nobody changes
a row between its reading here and its writing there. The last step moves the copy's offsets to where the checkpoint is, and counts as a
change of the generation: pages that were made of the copy while it was behind are out of date, though no checkpoint moves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from eventstore.errors import RefoldError, Unreachable
from eventstore.moments import reach
from eventstore.postgres.engine import Connection
from projections.control.catalogue import note_mended
from projections.control.checkpoint import Claim, Partition, Vector, read_vector, require_held
from projections.control.generation import Generation
from projections.copies.contract import MOST_ROWS, Changes, Copy, CopyLost, Fence, Standing
from projections.copies.debt import Debt, Owed
from projections.declaration.table import Table
from projections.readmodels.stream import load_rows

SLICE_S = 1.0
"""Seconds that one turn may pay; batches go on in between."""


@dataclass(slots=True)
class Absent:
    """A copy that takes no batches now, the *debt* where its rows are noted, and who asks whether its sink is back."""

    name: str
    table: Table[Any]
    copy: Copy
    debt: Debt
    reason: str
    probe: asyncio.Task[Standing | None] | None = None
    owed: Owed | None = None
    since: float = field(default_factory=time.monotonic)

    def facts(self) -> dict[str, Any]:
        """Say what it lacks, and for how long."""
        owed = self.owed.facts() if self.owed else {"behind_rows": 0, "behind_s": round(time.monotonic() - self.since, 1)}
        return {"sink": self.name, **owed, "reason": self.reason}


class Arrears:
    """The absent copies of *generation*, by number. *fill* fills one anew, in a transaction that holds the checkpoints."""

    def __init__(self, generation: Generation, fill: Callable[[Connection, int, Vector], Awaitable[None]]) -> None:
        self.absent: dict[int, Absent] = {}
        self._generation = generation
        self._fill = fill

    async def add(self, connection: Connection, number: int, absent: Absent, expected: Vector) -> None:
        """Let a copy be absent from a claim on that stood, or should have, at *expected*."""
        async with connection.transaction():
            await absent.debt.note(connection, absent.table, (), expected, absent.reason)
        self.absent[number] = absent

    async def lay(self, connection: Connection, absent: Absent) -> None:
        """Make the place where what is owed to a copy is noted, so that it is there when a batch needs it."""
        if not await absent.debt.is_laid(connection):
            async with connection.transaction():
                await read_vector(connection, self._generation.id, lock=True)
                await absent.debt.lay(connection, absent.table)

    async def note(self, connection: Connection, keys: Mapping[str, Collection[Any]], expected: Vector) -> None:
        """Owe the rows under *keys*, by table, in the transaction that changes them and moves the checkpoint on from *expected*."""
        for each in self.absent.values():
            await each.debt.note(connection, each.table, keys.get(each.table.name, ()), expected, each.reason)

    async def tend(self, connection: Connection, held: Mapping[Partition, Claim]) -> list[int]:
        """Pay what sinks that answer again are owed, for a second at most, and give the copies that are level by now. Raises Fenced."""
        back: list[int] = []
        for number, absent in list(self.absent.items()):
            absent.owed = await absent.debt.read(connection)
            if absent.probe is None:
                absent.probe = asyncio.create_task(absent.copy.stand())
            elif absent.probe.done():
                probe, absent.probe = absent.probe, None
                try:
                    probe.result()
                    if await self._pay(connection, number, absent, held):
                        back.append(number)
                        del self.absent[number]
                except Unreachable as error:
                    absent.reason = str(error)
        return back

    async def close(self) -> None:
        """Ask no more."""
        for each in self.absent.values():
            if each.probe is not None:
                each.probe.cancel()
                with suppress(asyncio.CancelledError, RefoldError):
                    await each.probe
        self.absent.clear()

    async def _pay(self, connection: Connection, number: int, absent: Absent, held: Mapping[Partition, Claim]) -> bool:
        until = time.monotonic() + SLICE_S
        try:
            standing = await absent.copy.claim({each: claimed.epoch for each, claimed in held.items()})
            if not standing.filled:
                raise CopyLost(f"{absent.name} was never filled")
            while time.monotonic() < until:
                if await self._step(connection, absent, held):
                    return True
        except CopyLost:
            async with connection.transaction():
                await self._fill(connection, number, await read_vector(connection, self._generation.id, lock=True))
            return True
        return False

    async def _step(self, connection: Connection, absent: Absent, held: Mapping[Partition, Claim]) -> bool:
        """Bring some rows, and with the last of them the offsets; True = these were the last."""
        schema = self._generation.schema_name
        async with connection.transaction():
            await read_vector(connection, self._generation.id, lock=True)
            for each in sorted(held):
                await require_held(connection, self._generation.id, each, held[each])
            owed = await absent.debt.read(connection)
            noted = owed.offsets if owed else {}
            keys = await absent.debt.take(connection, absent.table, MOST_ROWS)
            found = await load_rows(connection, absent.table, schema, keys) if keys else {}
            last = len(keys) < MOST_ROWS
            fences = [_fence(each, claimed, noted.get(each), last=last) for each, claimed in sorted(held.items())]
            rows, gone = [row for row in found.values() if row is not None], [key for key, row in found.items() if row is None]
            reach("copy.before_paying")
            await absent.copy.apply(Changes(fences, rows, gone, owned=False))
            if last:
                await absent.debt.settle(connection, list(held))
                await note_mended(connection, self._generation.id)
        reach("copy.paid")
        return last


def _fence(partition: Partition, held: Claim, noted: int | None, *, last: bool) -> Fence:
    """Give the fence of a payment: the copy stands where it was left, and moves to the checkpoint with the last rows. Pure."""
    stands = held.next_offset if noted is None else noted
    return Fence(partition, held.epoch, stands, held.next_offset if last else stands)
