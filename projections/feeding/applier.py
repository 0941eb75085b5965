"""What happens inside of the transaction that moves a checkpoint: rows are loaded, folded and written, what fails is set aside.

The caller (`pipeline`) opens the transaction, moves the checkpoint in it, and forgets everything when it is rolled back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Any

from eventstore.errors import RefoldError
from eventstore.postgres.engine import Connection, ConnectionLost
from eventstore.postgres.refusals import is_conflict
from eventstore.postgres.statements import load
from eventstore.privacy.opener import Opener
from eventstore.source import Record
from projections.control.checkpoint import PACKAGE, Partition, read_seen
from projections.control.generation import Generation
from projections.control.parking import Patience, park
from projections.declaration.projection import Projection
from projections.effects.dispatch import Dispatch, Errand
from projections.feeding.completion import Completion
from projections.feeding.deriving import write_derived
from projections.fold.fold import Folder
from projections.fold.step import Failure, HalfApplied, HandlerFailed, Plan, SweepFailed
from projections.order.mark import HISTORY, Mark
from projections.readmodels.freehand import Freehand
from projections.readmodels.postgres import ReadModel

Batch = Mapping[Partition, Sequence[Record]]
NEVER = Patience(0, 0.0, 0.0)
BREATH_S = 1.0
"""Seconds between two signs of life of a session whose transaction waits for a slow handler."""


class Applier:
    """Applies plans to one generation's tables within its caller's transactions.

    *patience* says how often parked records are tried again by themselves, *hold_s* for how many seconds a slow handler keeps the
    partitions.
    """

    def __init__(
        self,
        projection: Projection,
        generation: Generation,
        topics: Mapping[str, str],
        connection: Connection,
        opener: Opener | None,
        *,
        effects: bool,
    ) -> None:
        self.generation = generation
        self.read_model = ReadModel(projection, generation.schema_name)
        self.folder = Folder(projection, topics, complete=False, opener=opener, effects=effects)
        self.folder.set_partitions(generation.topics)
        self.patience = NEVER
        self.hold_s = 300.0
        self.dispatch: Dispatch | None = None
        self._projection = projection
        self._connection = connection
        self._freehand = Freehand(projection, generation.schema_name, connection)
        self._completion = Completion(projection, generation.schema_name, self.folder.sheets, self.folder.describe)
        self._waiting: list[Plan] = []
        self._spoilt: dict[tuple[str, int, int], str] = {}
        self._failures: list[Failure] = []
        self._opener = opener if projection.has_personal else None
        self._lost: set[tuple[str, Any]] = set()
        self._noticed: dict[tuple[str, int], float] = {}

    async def _prepare(self, batch: Batch) -> None:
        """Fetch the keys that the batch's personal fields need, in one look-up."""
        if self._opener is not None:
            await self._opener.prepare([each.value for records in batch.values() for each in records])

    async def _call(self, plans: Sequence[Plan], *, carefully: bool) -> None:
        """Run the SQL handlers; *carefully*: record by record, each of which takes back what it did when it fails and is set aside."""
        calls = [each for plan in plans for each in plan.calls]
        if not calls:
            return
        if not carefully:
            try:
                await self._freehand.run(calls)
            except Exception as error:
                self._raise_lost(error)
                raise HandlerFailed(self.folder.describe(error)) from (None if self._opener else error)
            return
        for plan in plans:
            spoilt = await self._try_calls(plan)
            self._failures.extend(self.folder.set_aside(plan, spoilt))

    async def _try_calls(self, plan: Plan) -> dict[int, str]:
        spoilt: dict[int, str] = {}
        poisoned: set[bytes] = set()
        for at, calls in groupby(plan.calls, key=lambda each: each.at):
            key = plan.records[at].key
            if key in poisoned:
                continue
            try:
                async with self._connection.transaction():
                    await self._freehand.run(list(calls))
            except Exception as error:
                self._raise_lost(error)
                spoilt[at] = self.folder.describe(error)
                if key is not None:
                    poisoned.add(key)
        return spoilt

    def _set_aside(self, plan: Plan) -> None:
        """Take out of *plan* what a first careful attempt has found."""
        if self._spoilt:
            known = {at: self._spoilt.get((each.topic, each.partition, each.offset)) for at, each in enumerate(plan.records)}
            self._failures.extend(self.folder.set_aside(plan, {at: why for at, why in known.items() if why is not None}))

    def _require_whole(self, plans: Sequence[Plan]) -> None:
        """Raise HalfApplied when a fold refused records whose SQL was run."""
        called = {(each.topic, each.partition, each.offset) for plan in plans for each in plan.called()}
        found = {
            place: each.reason
            for each in self._failures
            if called and not each.waits and (place := (each.record.topic, each.record.partition, each.record.offset)) in called
        }
        if found:
            raise HalfApplied(found)

    def _list_errands(self, plans: Sequence[Plan], failures: Sequence[Failure]) -> list[Errand]:
        """Give the effects of what was applied; what is set aside has none yet."""
        failed = {(each.record.topic, each.record.partition, each.record.offset) for each in failures}
        found = [(plan.records[at], name, event_id) for plan in plans for at, name, event_id in plan.errands]
        return [Errand(name, id_, each) for each, name, id_ in found if (each.topic, each.partition, each.offset) not in failed]

    def _raise_lost(self, error: Exception) -> None:
        """Raise *error* if it is no fault of a record: the connection is gone, or another transaction stood in the way."""
        if self._connection.closed or self._connection.broken or is_conflict(error):
            raise error

    async def _load(self, plans: Sequence[Plan], *, carefully: bool) -> None:
        if self.folder.is_whole and not carefully:
            return
        touched: dict[str, set[Any]] = {}
        for plan in plans:
            if carefully:
                self._failures.extend(self.folder.screen(plan))
            for table, keys in [*plan.keys().items(), *(plan.added_keys().items() if carefully else ())]:
                touched.setdefault(table, set()).update(keys)
        try:
            await self._load_rows(touched)
        except (*ConnectionLost, RefoldError):
            raise
        except Exception as error:
            cause = None if self._opener else error
            raise HandlerFailed(f"a row can't be looked for: {self.folder.describe(error)}") from cause
        self._completion.strip()

    async def _admit(self, plans: Sequence[Plan]) -> None:
        """Decide which records of ordered sources are new, by their marks, and what they amount to."""
        for plan in plans:
            if plan.ledger is not None:
                await self._load_rows({plan.ledger.sheet.table.name: plan.mark_keys()})
                self._failures.extend(self.folder.admit(plan))
                self._set_aside(plan)

    async def _sweep(self) -> None:
        """Let handlers take away the rows that went without a word, which are those whose marks lie below the floor."""
        for topic, ledger in [each for each in self.folder.ledgers.items() if each[1].is_due]:
            self.folder.settle()
            name, floor = ledger.sheet.table.name, ledger.history.floor
            try:
                async for marks in self.read_model.below(self._connection, name, floor):
                    ledger.sheet.load([each.key for each in marks], marks)
                    await self._remove(topic, ledger.find_gone(marks))
            except HandlerFailed as error:
                raise SweepFailed(str(error)) from error
            ledger.history.swept = floor
            await self._write_rows(again=True)

    async def _end_snapshot(self, topic: str, looked_at: float, ends: Mapping[Partition, int]) -> None:
        """Let the rows go that the last whole snapshot of *topic* did not hold, if all its partitions were read past its end."""
        ledger = self.folder.ledgers[topic]
        await self._load_rows({ledger.sheet.table.name: {HISTORY}})
        history, numbers = ledger.history, range(ledger.partitions)
        if history.awaited is None:
            return
        if not history.until:
            if looked_at <= self._noticed.setdefault((topic, history.awaited), time.monotonic()):
                return  # the log may have ended before the snapshot did when they looked
            history.until = {each: ends[topic, each] for each in numbers}
        seen = await read_seen(self._connection, self.generation.id)
        history.end_awaited({each: seen.get((topic, each), 0) for each in numbers})
        await self._write()

    async def _remove(self, topic: str, marks: Sequence[Mark]) -> None:
        plan = self.folder.remove(topic, marks)
        await self._call([plan], carefully=False)
        await self._load([plan], carefully=False)
        await self._fold_aside([plan], carefully=False)
        await self._write_rows(again=True)
        self.folder.settle()

    async def _load_rows(self, touched: Mapping[str, set[Any]]) -> None:
        for table, keys in touched.items():
            sheet = self.folder.sheets[table]
            if missing := sheet.missing(keys):
                await self.read_model.load(self._connection, sheet, missing)

    async def _fold_aside(self, plans: Sequence[Plan], *, carefully: bool) -> None:
        """Fold in a thread, so that heartbeats go on beside slow handlers.

        The session, which the server would end for idling, says meanwhile that it lives, but no longer than *hold_s* seconds: then the
        server gives the rows to whoever owns the partitions next.
        """
        work = asyncio.create_task(asyncio.to_thread(self._fold, plans, carefully=carefully))
        deadline = time.monotonic() + self.hold_s
        try:
            while not (await asyncio.wait([work], timeout=BREATH_S))[0]:
                if time.monotonic() < deadline:
                    await self._connection.execute(load(PACKAGE, "breathe"))
        finally:
            await asyncio.wait([work])
        work.result()
        await self._complete(plans, carefully=carefully)

    async def _complete(self, plans: Sequence[Plan], *, carefully: bool) -> None:
        """Write the versions that the fold made, then fill the joined columns of the rows that it made."""
        if versions := self._completion.versions:
            self._completion.note(plans, carefully=carefully)
            await self._write_rows(again=True, only=versions)
            for name in versions:
                self.folder.sheets[name].settle()
            await self._completion.fill(self._connection)

    async def _complete_late(self) -> None:
        """Fill the joined columns anew in rows that were there before the versions of their time."""
        if self._completion.versions:
            self.folder.settle()
            async for _ in self._completion.find_late(self._connection):
                await self._write_rows(again=True)
                self.folder.settle()

    def _fold(self, plans: Sequence[Plan], *, carefully: bool) -> None:
        for plan in plans:
            if carefully:
                self._failures.extend(self.folder.fold_carefully(plan))
            else:
                self.folder.fold(plan)

    async def _write(self) -> None:
        await self._write_rows()
        await self._sweep()
        await self._complete_late()
        await self.read_model.note_lost(self._connection, self.generation.id, self._lost)
        for failure in self._failures:
            await self._park(failure)
        await write_derived(self._connection, self.generation, self.folder.tracer.take())

    async def _write_rows(self, *, again: bool = False, only: Collection[str] | None = None) -> None:
        self.folder.seal()
        if again:
            await self.read_model.begin_again(self._connection)
        try:
            for name, sheet in self.folder.sheets.items():
                if only is None or name in only:
                    await self.read_model.write(self._connection, sheet)
        except ConnectionLost:
            raise
        except Exception as error:
            cause = None if self._opener else error
            raise HandlerFailed(f"a row can't be written: {self.folder.describe(error)}") from cause

    async def _park(self, failure: Failure) -> None:
        retry_s = None if failure.waits else self.patience.wait_s(0)
        await park(self._connection, self.generation.id, failure.record, failure.reason, retry_s)
