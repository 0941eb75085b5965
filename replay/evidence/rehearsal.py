"""The SQL handlers of a projection run over the log once more, on scratch tables, to see which records touched which rows.

A row that SQL wrote has no key function that could be asked. So the statements run again in the same order, and PostgreSQL notes what each
touched. Many records run at once; only where one of them touched a row that is asked for is that undone, and the records are halved
until the one is found. A row of *k* events among *n* costs about n + k log n handler calls instead of a look after each.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import ConnectionLost, checkout
from eventstore.privacy.opener import Opener
from eventstore.source import Record
from projections.control.checkpoint import Partition
from projections.declaration.projection import Projection
from projections.fold.fold import Folder
from projections.fold.step import Call
from projections.readmodels.scratch import Scratch, Touched
from replay.evidence.sieve import Place, Touch

AT_ONCE = 500
"""Records that are run in one go."""
Batch = Mapping[Partition, Sequence[Record]]


class _Undone(Exception):
    """What was just run is taken back, to be run in halves."""


class Work(NamedTuple):
    """What one record is to the SQL handlers."""

    record: Record
    calls: Sequence[Call]
    lost: bool


class Rehearsal:
    """Runs the SQL of *projection* in *scratch*; *parked* are the places of records that the generation set aside.

    *records* counts those that were run, *failed* those that raised and so had no effect, *halved* how often it was cut for a look.
    """

    def __init__(
        self,
        projection: Projection,
        topics: Mapping[str, str],
        scratch: Scratch,
        *,
        opener: Opener | None = None,
        parked: AbstractSet[Place] = frozenset(),
    ) -> None:
        self.scratch = scratch
        self.failed = 0
        self.records = 0
        self.halved = 0
        self._folder = Folder(projection, topics, complete=False, opener=opener)
        for ledger in self._folder.ledgers.values():
            ledger.sheet.complete = True  # all marks come of the records read here
        self._opener = opener if projection.has_personal else None
        self.parked = parked

    async def find(self, batch: Batch, wanted: Callable[[str, Any], bool]) -> list[Touch]:
        """Run *batch* and give the touches of the rows that *wanted* says yes to, by table and key, with each row afterwards."""
        found: list[Touch] = []
        for aside, works in await self._lay_out(batch):
            if aside:
                found += [touch for work in works for touch in await self._look(work, wanted, aside=True)]
            else:
                await self._search(works, wanted, found)
        return found

    async def gather(self, batch: Batch, reaches: Callable[[Record], bool]) -> Touched:
        """Run *batch* and give the rows that were touched by the records that *reaches* says yes to."""
        found: Touched = set()
        for aside, works in await self._lay_out(batch):
            for chosen, run in groupby(works, key=lambda each: reaches(each.record)):
                if not aside:
                    touched = await self._run(list(run))
                    found |= touched if chosen else set()
        return found

    async def _lay_out(self, batch: Batch) -> list[tuple[bool, list[Work]]]:
        """Give the work of *batch* in pieces, each either set aside or not."""
        works: list[Work] = []
        for records in batch.values():
            if self._opener is not None:
                await self._opener.prepare([each.value for each in records])
            plan = self._folder.read(records)
            self._folder.admit(plan)
            works += [
                Work(plan.records[at], list(calls), at in plan.lost)
                for at, calls in groupby(plan.calls, key=lambda each: each.at)
            ]
        return [(aside, piece) for aside, run in groupby(works, key=self._is_aside) for piece in _cut(list(run))]

    def _is_aside(self, work: Work) -> bool:
        return (work.record.topic, work.record.partition, work.record.offset) in self.parked

    async def _run(self, works: Sequence[Work]) -> Touched:
        """Run *works*; one that raises has no effect, and the others have theirs."""
        try:
            async with self.scratch.connection.transaction():
                touched = await self.scratch.run([call for each in works for call in each.calls])
        except ConnectionLost:
            raise
        except Exception:
            if len(works) == 1:
                self.failed += 1
                return set()
            half = len(works) // 2
            return await self._run(works[:half]) | await self._run(works[half:])
        self.records += len(works)
        return touched

    async def _search(self, works: Sequence[Work], wanted: Callable[[str, Any], bool], found: list[Touch]) -> None:
        """Run *works* and add the touches that are wanted to *found*."""
        if len(works) == 1:
            found += await self._look(works[0], wanted, aside=False)
            return
        try:
            async with self.scratch.connection.transaction():
                touched = await self.scratch.run([call for each in works for call in each.calls])
                if any(wanted(*each) for each in touched):
                    raise _Undone
                self.records += len(works)
                return
        except ConnectionLost:
            raise
        except Exception:
            self.halved += 1
        half = len(works) // 2
        await self._search(works[:half], wanted, found)
        await self._search(works[half:], wanted, found)

    async def _look(self, work: Work, wanted: Callable[[str, Any], bool], *, aside: bool) -> list[Touch]:
        """Run one record call by call; *aside*: to see what it would have touched, and undo it."""
        found: list[Touch] = []
        try:
            async with self.scratch.connection.transaction(force_rollback=aside):
                for call in work.calls:
                    touched = await self.scratch.run([call])
                    for name, key in sorted((each for each in touched if wanted(*each)), key=repr):
                        row = (await self.scratch.load(name, [key]))[key]
                        rest = self.scratch.tables[name], key, call.function, _body(call), None, row
                        found.append(Touch(work.record, *rest, set_aside=aside, lost=work.lost, spans=False))
        except ConnectionLost:
            raise
        except Exception:
            self.failed += not aside
            return []
        self.records += not aside
        return found


def _cut(works: Sequence[Work]) -> Iterator[list[Work]]:
    for start in range(0, len(works), AT_ONCE):
        yield list(works[start : start + AT_ONCE])


def _body(call: Call) -> Any:
    return getattr(call.given, "data", call.given) if call.batch else call.given[0]


@asynccontextmanager
async def opened_scratch(engine: AsyncEngine, projection: Projection) -> AsyncGenerator[Scratch]:
    """Lend scratch tables on a connection of their own."""
    async with checkout(engine) as connection:
        scratch = Scratch(projection, connection)
        await scratch.open()
        try:
            yield scratch
        finally:
            if not connection.closed:
                await scratch.close()
