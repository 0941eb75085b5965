"""From records to committed rows: the fold's waiting half, shared by live workers and by replays.

Rows and checkpoint commit in one transaction, which begins with the fence: a pipeline whose partitions have a newer owner
writes nothing. A live worker commits every batch; a replay, alone with its tables, folds in memory and commits now and then
(`absorb`, then `commit`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from eventstore.moments import reach
from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from eventstore.privacy.opener import Opener
from eventstore.source import Record
from eventstore.stream import Position
from projections.control.catalogue import note_mended
from projections.control.checkpoint import PACKAGE, Advance, Claim, Partition, advance, claim, is_held, note_seen, require_held
from projections.control.generation import Generation
from projections.control.parking import AT_ONCE, Due, Parked, drop_parked, fail_parked, find_due, go_on, lock_parked
from projections.copies import Comparison, Copies
from projections.declaration.projection import Projection
from projections.feeding.applier import Applier, Batch
from projections.fold.step import Failure, HalfApplied, HandlerFailed, Plan, SweepFailed
from projections.readmodels.postgres import ReadModel

FIRST_KEYS = 300_000
"""Keys of a table that a worker which fills it alone keeps in memory, about 150 bytes each; beyond them it looks for every key."""


class Pipeline(Applier):
    """Applies one generation's records over one connection, which it does not share.

    *exclusive*: no other process writes this generation's tables, so rows may stay in memory between commits; not those of a projection
    with joins, which are looked up in the database.
    """

    def __init__(
        self,
        projection: Projection,
        generation: Generation,
        topics: Mapping[str, str],
        connection: Connection,
        *,
        exclusive: bool,
        opener: Opener | None = None,
    ) -> None:
        super().__init__(projection, generation, topics, connection, opener, effects=not exclusive)
        self.held: dict[Partition, Claim] = {}
        self.applied = 0
        self.parked = 0
        self.mended = 0
        self._exclusive = exclusive and not projection.joins
        self._sources = {topics[each.name]: each for each in projection.sources}
        swept = any(generation.topics.get(each, 1) > 1 for each in self.folder.ledgers)
        self._shares = swept or not all(projection.owns(each) for each in projection.tables)
        self._moves: dict[Partition, Advance] = {}
        self.copies = Copies(generation)

    async def claim(
        self, partitions: Sequence[Partition], owner: str, topic_ids: Mapping[str, UUID] | None = None
    ) -> dict[Partition, int]:
        """Take *partitions* over, forget all that is in memory, and give where to read on.

        A generation that nobody has written yet is folded in memory from the start when this pipeline is exclusive. When it holds all
        partitions, which is as good until one is taken from it, only the keys stay in memory: new ones are not looked for.
        """
        async with self._connection.transaction():
            self.held = await claim(self._connection, self.generation.id, partitions, owner, topic_ids)
            cursor = await self._connection.execute(load(PACKAGE, "read_parked_keys"), {"generation": self.generation.id})
            parked = {(topic, None if key is None else bytes(key)) for topic, key in await cursor.fetchall()}
            untouched = all(each.next_offset == 0 for each in self.held.values())
            self.read_model = self._make_model()
            if self._exclusive and untouched:
                await self.read_model.drop_keys(self._connection)
            alone = untouched and (self._exclusive or await self._fills_alone())
        self.forget()
        await self.copies.claim(self._connection, self.held)
        self.folder.parked = parked
        for sheet in self.folder.sheets.values():
            sheet.complete = alone
        return {each: claimed.next_offset for each, claimed in self.held.items()}

    async def _fills_alone(self) -> bool:
        """Say whether all rows that the tables will have are this pipeline's, as long as its partitions are."""
        every = {(topic, each) for topic, count in self.generation.topics.items() for each in range(count)}
        asks = bool(self._projection.sql_handlers or self._projection.joins)
        return every <= self.held.keys() and not asks and await self.read_model.is_empty(self._connection)

    def _make_model(self) -> ReadModel:
        return ReadModel(self._projection, self.generation.schema_name)

    def forget(self) -> None:
        """Drop what is not committed."""
        self.folder.clear()
        self._moves.clear()
        self._failures.clear()
        self._lost.clear()
        self._waiting.clear()
        self._completion.forget()
        self.read_model.forget()
        self.copies.forget()

    @property
    def pending(self) -> int:
        """How many rows and calls of SQL handlers wait for a commit."""
        return self.folder.pending + sum(len(each.calls) for each in self._waiting)

    @property
    def vector(self) -> dict[Partition, int]:
        """Where this pipeline is, commits to come included."""
        return {
            each: self._moves[each].next_offset if each in self._moves else held.next_offset for each, held in self.held.items()
        }

    async def apply(self, batch: Batch, seen: Mapping[Partition, int]) -> None:
        """Apply and commit *batch* at once. A record that can't be applied is parked, with the later ones of its key.

        Raises Fenced when a partition has a newer owner; then nothing was written.
        """
        try:
            await self._apply(batch, seen, carefully=False)
        except HandlerFailed:
            await self._apply_carefully(batch, seen)

    async def _apply_carefully(self, batch: Batch, seen: Mapping[Partition, int]) -> None:
        """Apply record by record; one whose SQL was run before its fold failed makes it begin again without that record."""
        self._spoilt.clear()
        self.folder.refusal = None
        while True:
            try:
                await self._apply(batch, seen, carefully=True)
            except HalfApplied as error:
                self._spoilt |= error.reasons
            except SweepFailed as error:
                self.folder.refusal = str(error)
            else:
                self.folder.refusal = None
                return

    async def _apply(self, batch: Batch, seen: Mapping[Partition, int], *, carefully: bool) -> None:
        before = set(self.folder.parked)
        self.read_model.trusts = not carefully
        await self._prepare(batch)
        plans = self._read(batch, seen)
        try:
            async with self._connection.transaction():
                await advance(self._connection, self.generation.id, self.held, self._moves)
                if self._shares:
                    await self._lock_tables()
                await self._admit(plans)
                await self._call(plans, carefully=carefully)
                await self._load(plans, carefully=carefully)
                await self._fold_aside(plans, carefully=carefully)
                self._require_whole(plans)
                await self._write()
                await self._dispatch(plans)
                reach("batch.before_commit")
        except BaseException:
            self.forget()
            self.folder.parked = before
            raise
        reach("batch.after_commit")
        self._settle()
        self.folder.evict(FIRST_KEYS)

    async def _lock_tables(self) -> None:
        """Keep others from the tables, and look for rows in them once a partition is theirs: the batch in hand may be from before."""
        await self._connection.execute(load(PACKAGE, "lock_tables"), {"generation": self.generation.id})
        if any(each.complete for each in self.folder.sheets.values()) and not await is_held(
            self._connection, self.generation.id, self.held
        ):
            for each in self.folder.sheets.values():
                each.clear()

    async def _dispatch(self, plans: Sequence[Plan]) -> None:
        """Write down the effects of what this batch applied, if this generation is live and its worker says so."""
        if self.dispatch is not None:
            moves = {each: (self.held[each].next_offset, move.next_offset) for each, move in self._moves.items()}
            await self.dispatch.record(self._connection, moves, self._list_errands(plans, self._failures))

    @property
    def is_stepwise(self) -> bool:
        """Whether every batch is to be applied and committed at once (`apply`), because the database is asked meanwhile."""
        return bool(self._projection.joins)

    async def absorb(self, batch: Batch, seen: Mapping[Partition, int], *, carefully: bool = False) -> None:
        """Fold *batch* in memory; `commit` writes it. Raises HandlerFailed: forget, seek back to the last commit, and go carefully."""
        if self.folder.is_whole and not self.folder.parked and not carefully:
            for partition, records in batch.items():
                self.folder.run(records)
                self._note_move(partition, records, seen)
            return
        if carefully and self._projection.sql_handlers:
            await self._apply_carefully(batch, seen)
            return
        await self._prepare(batch)
        plans = self._read(batch, seen)
        await self._admit(plans)
        await self._load(plans, carefully=carefully)
        self._fold(plans, carefully=carefully)
        self._waiting += [each for each in plans if each.calls]

    def adopt(self, rows: Mapping[str, Sequence[Any]], moves: Mapping[Partition, Advance]) -> None:
        """Take over *rows*, by table, that were folded elsewhere from nothing up to *moves*; `commit` writes them."""
        for name, made in rows.items():
            sheet = self.folder.sheets[name]
            sheet.rows = {sheet.table.key_of(row): row for row in made}
            sheet.dirty = set(sheet.rows)
        self._moves.update(moves)

    async def commit(self) -> None:
        """Write what was absorbed.

        Raises Fenced when a partition has a newer owner, HandlerFailed for a refused row; then nothing was written.
        """
        if not self._moves:
            return
        async with self._connection.transaction():
            await advance(self._connection, self.generation.id, self.held, self._moves)
            await self._call(self._waiting, carefully=False)
            await self._write()
            reach("batch.before_commit")
        reach("batch.after_commit")
        self._settle()

    async def _write(self) -> None:
        """Write to the tables, and what they took to the sinks: a copy has whatever the checkpoint says, when this commits."""
        await super()._write()
        await self.copies.write(self.held, self._moves)

    async def _write_rows(self, *, again: bool = False, only: Collection[str] | None = None) -> None:
        await super()._write_rows(again=again, only=only)
        self.copies.note(self.folder.sheets)

    async def fill_copies(self) -> list[Comparison]:
        """Fill the sinks' copies from the complete tables, and compare them; nobody else may write meanwhile."""
        await self.copies.fill(self._connection, self.vector)
        return await self.copies.compare(self._connection)

    async def add_keys(self) -> None:
        """Add the primary keys that a bulk build leaves to the end. Raises HandlerFailed when rows share a key."""
        try:
            async with self._connection.transaction():
                await self.read_model.add_keys(self._connection)
        except UniqueViolation as error:
            detail = error.diag.message_detail or str(error)
            raise HandlerFailed(f"rows of table {error.diag.table_name} share a key: {detail}") from error

    @property
    def awaits_ends(self) -> bool:
        """Whether a snapshot can end in one partition before it was read in another, so that `end_snapshots` has to be called."""
        return any(each.partitions > 1 for each in self.folder.ledgers.values())

    async def end_snapshots(self, looked_at: float, ends: Mapping[Partition, int]) -> None:
        """Let rows go that a whole snapshot no longer holds, once every partition was read to where it had ended.

        *ends* is where the log ended at *looked_at*, in monotonic seconds; nothing waits for a commit. Raises Fenced as `apply` does.
        """
        for topic, ledger in self.folder.ledgers.items():
            mine = next((each for each in self.held if each[0] == topic), None)
            if mine is None or ledger.partitions < 2:
                continue
            try:
                async with self._connection.transaction():
                    await require_held(self._connection, self.generation.id, mine, self.held[mine])
                    await self._lock_tables()
                    await self._end_snapshot(topic, looked_at, ends)
            except BaseException:
                self.forget()
                raise
            self.folder.settle()
            if not self._exclusive:
                self.folder.evict(FIRST_KEYS)

    async def note_seen(self, seen: Mapping[Partition, int]) -> None:
        """Note how far the log was read, for lag."""
        await note_seen(self._connection, self.generation.id, self.held, {each: seen[each] for each in self.held if each in seen})

    def _read(self, batch: Batch, seen: Mapping[Partition, int]) -> list[Plan]:
        plans: list[Plan] = []
        for partition, records in batch.items():
            plan = self.folder.read(records)
            plans.append(plan)
            self._set_aside(plan)
            self._failures.extend(plan.failures)
            self._lost |= plan.lost_keys()
            self._note_move(partition, records, seen)
        return plans

    def _note_move(self, partition: Partition, records: Sequence[Record], seen: Mapping[Partition, int]) -> None:
        following = records[-1].offset + 1
        self._moves[partition] = Advance(following, max(following, seen.get(partition, 0)), self._last_position(records))

    def _last_position(self, records: Sequence[Record]) -> Position | None:
        """Give the position of the last record that has one: what can't be read holds up no reader who waits for a token."""
        position = self._sources[records[0].topic].position
        return next((found for each in reversed(records) if (found := position(each)) is not None), None)

    async def find_due(self, limit: int) -> list[Due]:
        """Give the parked keys in these partitions whose time has come, or that somebody asked to try again."""
        return await find_due(self._connection, self.generation.id, self.held, limit)

    async def mend(self, due: Due) -> int:
        """Apply the parked records of one key again, in their order, and give how many left the list.

        Rows and list change in one transaction, behind the fence of the partition. The first record that fails again stays parked with
        the reason of today, and the later ones behind it. Raises Fenced as `apply` does.
        """
        try:
            return await self._mend(due, AT_ONCE)
        except HandlerFailed:
            try:
                return await self._mend(due, 1)
            except HandlerFailed as error:
                return await self._mend(due, 1, refused=str(error))

    async def _mend(self, due: Due, limit: int, *, refused: str | None = None) -> int:
        before = set(self.folder.parked)
        self.folder.parked = {each for each in before if each != (due.topic, due.key)}
        try:
            async with self._connection.transaction():
                await require_held(self._connection, self.generation.id, due[:2], self.held[due[:2]])
                if self._shares:
                    await self._lock_tables()
                found = await lock_parked(self._connection, self.generation.id, due, limit)
                failed = await self._refold([each for each in found if not each.skip], refused)
                done = [each.offset for each in found if each.offset not in failed]
                await drop_parked(self._connection, self.generation.id, due, done)
                if done:
                    await note_mended(self._connection, self.generation.id)
                left = await self._note_failed(due, found, failed, more=len(found) == limit)
                reach("mend.before_commit")
        except BaseException:
            self.folder.parked = before
            raise
        finally:
            self.forget()
        if left and due.key is not None:
            self.folder.parked.add((due.topic, due.key))
        self.mended += len(done)
        return len(done)

    async def _refold(self, records: Sequence[Parked], refused: str | None) -> dict[int, Failure]:
        """Fold *records* carefully and write what they make; give those that failed, by offset."""
        if refused is not None:
            return {each.offset: Failure(each, refused) for each in records}
        if records:
            await self._prepare({(records[0].topic, records[0].partition): records})
        plan = self.folder.read(records)
        await self._admit([plan])
        await self._call([plan], carefully=True)
        await self._load([plan], carefully=True)
        await self._fold_aside([plan], carefully=True)
        self._require_whole([plan])
        failures = [*plan.failures, *self._failures]
        self._failures.clear()
        self._lost |= plan.lost_keys()
        await self._write()
        if self.dispatch is not None:
            await self.dispatch.add(self._connection, self._list_errands([plan], failures))
        return {each.record.offset: each for each in failures}

    async def _note_failed(self, due: Due, found: Sequence[Parked], failed: Mapping[int, Failure], *, more: bool) -> bool:
        """Note why the first of *failed* failed; give whether records of the key are left."""
        first = next((each for each in found if each.offset in failed), None)
        if first is not None:
            retry_s = self.patience.wait_s(first.attempts + 1)
            await fail_parked(self._connection, self.generation.id, first, failed[first.offset].reason, retry_s)
            return True
        return more and due.key is not None and await go_on(self._connection, self.generation.id, due)

    def _settle(self) -> None:
        for partition, move in self._moves.items():
            self.applied += move.next_offset - self.held[partition].next_offset
            self.held[partition] = Claim(move.next_offset, self.held[partition].epoch)
        self.parked += len(self._failures)
        self._moves.clear()
        self._failures.clear()
        self._lost.clear()
        self._waiting.clear()
        self._completion.forget()
        self.folder.settle()
