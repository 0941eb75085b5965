"""Rows of a fed generation folded anew from the log and put right in place, without a rebuild.

Every selected row is folded from its whole history, never from a part of it, beside the workers; for rows that SQL wrote the statements run
again on scratch tables. Then their checkpoints are locked, which
holds them back for a moment, the few events that came meanwhile are folded too, and what differs is written in that same transaction. So a
row is what it would be after a rebuild, at exactly the vector that the transaction finds, and no worker's write is lost.

A row that joins complete depends on the versions of its lineages too. They are folded and put right with it, and it is completed from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import PreconditionFailed
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.keys import opened_keyring
from eventstore.postgres.statements import load
from eventstore.privacy.opener import Opener
from eventstore.settings import KafkaSettings
from eventstore.source import Record
from projections.control.catalogue import note, note_mended
from projections.control.checkpoint import Claim, Vector, read_owners, read_vector
from projections.control.generation import FED, Generation
from projections.copies import Copies, opened_copies
from projections.declaration.projection import Projection
from projections.declaration.table import Table
from projections.feeding.deriving import name_topics
from projections.fold.sheet import Sheet
from projections.readmodels.policies import every_tenant
from projections.readmodels.postgres import ReadModel
from projections.readmodels.scratch import Scratch
from projections.release.fingerprint import fingerprint
from replay.evidence.address import Address, is_written
from replay.evidence.floor import read_floors
from replay.evidence.history import read_history, require_whole
from replay.evidence.joined import Joined
from replay.evidence.origin import narrow, same
from replay.evidence.rehearsal import Rehearsal, opened_scratch
from replay.evidence.selection import Selection
from replay.evidence.sieve import Floors, Place, Sieve, Touch, Wanted
from replay.evidence.versions import Lineage, find_lineages, list_joins, name_lineage, read_topics
from replay.settings import ReplaySettings

MOST = 200_000
"""Rows that one repair folds in memory; more are better rebuilt."""
NEAR = 1_000
"""Records that may be left to fold while the workers are held back."""


@dataclass(slots=True)
class Outcome:
    """What a repair found: rows looked at, and which it made, changed and deleted; *samples* show some, before and after.

    *failed*: events that no handler could apply, which therefore had no effect. *untold*: mended rows of tables that emit; what followed
    from them before stays as it was published, and nothing follows from the repair. *versions*: rows among these that were folded because
    they decide about joined ones. *completed*: other rows that were joined with a mended version, and have what it says now.
    """

    rows: int = 0
    events: int = 0
    created: int = 0
    changed: int = 0
    deleted: int = 0
    failed: int = 0
    versions: int = 0
    completed: int = 0
    untold: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    vector: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def mended(self) -> int:
        """Rows that were wrong."""
        return self.created + self.changed + self.deleted


@dataclass(slots=True)
class _Fold:
    """The selected rows as the events up to *until* give them."""

    parked: frozenset[Place]
    until: Vector = field(default_factory=Vector)
    rows: dict[Address, Any] = field(default_factory=dict[Address, Any])
    lost: set[tuple[str, Any]] = field(default_factory=set[tuple[str, Any]])
    events: int = 0
    failed: int = 0
    rehearsal: Rehearsal | None = None
    """Where SQL wrote rows that are asked for: what runs it again."""
    written: set[tuple[str, Any]] = field(default_factory=set[tuple[str, Any]])
    sieve: Sieve | None = None
    """What it reads with, from the first record on: it knows what was seen of captured tables."""
    past: _Fold | None = None
    """The versions of *lineages*, which are those of the selected rows."""
    lineages: set[Lineage] = field(default_factory=set[Lineage])

    def set_parked(self, parked: frozenset[Place]) -> None:
        for each in (self, self.past):
            if each is not None:
                each.parked = parked
        if self.rehearsal is not None:
            self.rehearsal.parked = parked

    def finish(self, floors: Floors) -> None:
        """Let rows go that went without a word of the log."""
        for each in (self, self.past):
            if each is not None and each.sieve is not None:
                for touch in each.sieve.finish(floors):
                    each.take(touch)

    def take(self, touch: Touch) -> None:
        address = Address(touch.table, touch.key)
        self.events += 1
        if touch.set_aside:
            return
        try:
            self.rows[address] = touch.apply(self.rows.get(address))
        except Exception:
            self.failed += 1
        if touch.lost:
            self.lost.add((touch.table.name, touch.key))


class Repair:
    """Mends rows of one generation with this process's code, which must be the code that built it."""

    def __init__(self, projection: Projection, generation: Generation, engine: AsyncEngine, kafka: KafkaSettings) -> None:
        if generation.state not in FED:
            raise PreconditionFailed(
                f"{generation} is {generation.state}: only a generation that workers feed is repaired; rebuild it"
            )
        if generation.fingerprint != (mine := fingerprint(projection)):
            raise PreconditionFailed(
                f"{generation} was built by code {generation.fingerprint} and this is {mine}: changed code never writes into an old "
                f"generation. Rebuild with `replay --projection {projection.name} --from-beginning`, or run this in its own release."
            )
        self.projection = projection
        self.generation = generation
        self._engine = engine
        self._kafka = kafka
        self._topics = name_topics(projection, kafka, generation.topics)
        self._emits = frozenset(each.table.name for each in projection.emissions)
        self._stall_s = ReplaySettings().stall_s
        self._read_model = ReadModel(projection, generation.schema_name)
        self._joined = Joined(projection, generation.schema_name, self._read_model)
        self._copies = Copies(generation)

    async def mend(self, selection: Selection, *, samples: int, dry_run: bool = False) -> Outcome:
        """Make the selected rows anew and write those that differ; what *dry_run* writes is rolled back."""
        async with (
            opened_keyring(self._engine) as keyring,
            checkout(self._engine) as connection,
            every_tenant(connection, self.projection),
            opened_copies(self.projection, self.generation) as copies,
            self._opened_scratch(selection) as scratch,
        ):
            self._copies = copies
            opener = Opener(keyring)
            until = await read_vector(connection, self.generation.id)
            await require_whole(self._kafka, until)
            wanted = await self._select(selection, until, opener)
            folding: _Fold | None = None
            while True:
                if folding is None:
                    folding = await self._begin(connection, wanted, scratch, opener)
                while sum(until.values()) - sum(folding.until.values()) > NEAR or not folding.until or self._lacks(folding):
                    await self._go_on(until, folding, wanted, opener, selection)
                    await self._fold_past(until, folding, opener, selection)
                    until = await read_vector(connection, self.generation.id)
                async with connection.transaction(force_rollback=dry_run):
                    until = await read_vector(connection, self.generation.id, lock=True)
                    parked = await self._read_parked(connection)
                    if _is_before(folding.parked ^ parked, folding.until):
                        folding = None
                        continue  # somebody mended parked records meanwhile
                    folding.set_parked(parked)
                    await self._go_on(until, folding, wanted, opener, selection)
                    floors = await read_floors(connection, self.projection, self.generation, self._kafka)
                    folding.finish(floors)
                    if self._lacks(folding):
                        continue  # versions of another lineage decide by now, and workers must not wait until they are read
                    await self._fold_past(until, folding, opener, selection)
                    folding.finish(floors)
                    await self._take_written(folding, selection)
                    return await self._settle(connection, selection, folding, samples, dry_run=dry_run)

    async def _begin(self, connection: Connection, wanted: set[Address], scratch: Scratch | None, opener: Opener) -> _Fold:
        folding = _Fold(await self._read_parked(connection), rows=dict.fromkeys(wanted))
        if scratch is not None:
            await scratch.open()
            folding.rehearsal = Rehearsal(self.projection, self._topics, scratch, opener=opener, parked=folding.parked)
        return folding

    def _find_lineages(self, folding: _Fold) -> set[Lineage]:
        return find_lineages(self.projection, ((each.table, row) for each, row in folding.rows.items()))

    def _lacks(self, folding: _Fold) -> bool:
        """Say whether versions decide about a row that were not read."""
        return bool(self.projection.joins) and not self._find_lineages(folding) <= folding.lineages

    async def _fold_past(self, until: Vector, folding: _Fold, opener: Opener, selection: Selection) -> None:
        """Go on with the versions that decide about the rows up to *until*; from the first on where there are more lineages than before."""
        if self._lacks(folding):
            folding.lineages |= self._find_lineages(folding)
            folding.past = _Fold(folding.parked)
        past, lineages = folding.past, folding.lineages
        if past is None:
            return
        topics = read_topics(self.projection, self._topics, {name for name, _ in lineages})
        there = {each: offset for each, offset in until.items() if each[0] in topics}
        await self._sift(past, there, lambda table, key: name_lineage(table, key) in lineages, opener, None)
        past.until = there
        _require_few(selection, len(folding.rows) + len(past.rows), self.projection)

    @asynccontextmanager
    async def _opened_scratch(self, selection: Selection) -> AsyncGenerator[Scratch | None]:
        """Lend scratch tables if rows that SQL wrote can be among those of *selection*."""
        address = selection.address
        if self.projection.free_tables and (address is None or is_written(self.projection, address.table)):
            async with opened_scratch(self._engine, self.projection) as scratch:
                yield scratch
        else:
            yield None

    async def _go_on(self, until: Vector, folding: _Fold, wanted: set[Address], opener: Opener, selection: Selection) -> None:
        """Go on with *folding* up to *until*: the folds of *wanted*, and the SQL if any of its rows are asked for."""
        if rehearsal := folding.rehearsal:
            reaches = selection.covers if selection.address is None else _take_none
            group = self.generation.consumer_group
            async for batch in read_history(self._kafka, group, folding.until, until, self._stall_s):
                folding.written |= await rehearsal.gather(batch, reaches)
                _require_few(selection, len(folding.written), self.projection)
        await self._fold_to(until, folding, {each for each in wanted if not is_written(self.projection, each.table)}, opener)

    async def _take_written(self, folding: _Fold, selection: Selection) -> None:
        """Take the rows that SQL wrote from the scratch tables."""
        rehearsal = folding.rehearsal
        if rehearsal is None:
            return
        if selection.address is not None:
            folding.written = {(selection.address.table.name, selection.address.key)}
        folding.events, folding.failed = folding.events + rehearsal.records, folding.failed + rehearsal.failed
        for name, table in rehearsal.scratch.tables.items():
            if keys := [key for of, key in folding.written if of == name]:
                rows = await rehearsal.scratch.load(name, keys)
                folding.rows.update({Address(table, key): row for key, row in rows.items()})

    async def _select(self, selection: Selection, until: Vector, opener: Opener) -> set[Address]:
        if selection.address is not None:
            return {selection.address}
        found: set[Address] = set()
        sieve = self._make_sieve(_take_all, opener, frozenset(), None)
        async for batch in read_history(self._kafka, self.generation.consumer_group, {}, until, self._stall_s):
            found |= {Address(each.table, each.key) for each in await sieve.sift(batch) if selection.reaches(each)}
            _require_few(selection, len(found), self.projection)
        return found

    def _make_sieve(self, wanted: Wanted, opener: Opener, parked: frozenset[Place], streams: frozenset[bytes] | None) -> Sieve:
        sieve = Sieve(self.projection, self._topics, wanted, opener=opener, parked=parked, streams=streams)
        sieve.set_partitions(self.generation.topics)
        return sieve

    async def _fold_to(self, until: Vector, folding: _Fold, wanted: set[Address], opener: Opener) -> None:
        """Go on with *folding* up to *until*."""
        by_key = {(each.table.name, each.key) for each in wanted}

        def asks(table: Table[Any], key: Any) -> bool:
            return (table.name, key) in by_key

        there, streams = narrow(self.projection, list(wanted), until) if wanted else ({}, None)
        await self._sift(folding, there, asks, opener, streams)
        folding.until = dict(until)

    async def _sift(
        self, folding: _Fold, there: Vector, wanted: Wanted, opener: Opener, streams: frozenset[bytes] | None
    ) -> None:
        """Let *folding* take what its sieve finds between where it is and *there*."""
        sieve = folding.sieve = folding.sieve or self._make_sieve(wanted, opener, folding.parked, streams)
        sieve.parked = folding.parked
        async for batch in read_history(self._kafka, self.generation.consumer_group, folding.until, there, self._stall_s):
            for touch in await sieve.sift(batch):
                folding.take(touch)

    async def _settle(
        self, connection: Connection, selection: Selection, folding: _Fold, samples: int, *, dry_run: bool
    ) -> Outcome:
        """Compare with what is stored, write what differs, and leave an audit row, in the caller's transaction."""
        past = folding.past or _Fold(folding.parked)
        versions = {each: row for each, row in past.rows.items() if row is not None}
        rows = {**dict.fromkeys(await self._joined.find_strays(connection, folding.lineages)), **versions, **folding.rows}
        outcome = Outcome(len(rows), folding.events + past.events, failed=folding.failed + past.failed)
        outcome.versions = len(rows) - len(folding.rows)
        outcome.vector = {f"{topic}[{number}]": offset for (topic, number), offset in sorted(folding.until.items())}
        sheets: dict[str, Sheet] = {}
        for table in self._joined.sort(self.projection.tables):
            mine = {each: row for each, row in rows.items() if each.table is table}
            sheets[table.name] = sheet = Sheet(table, complete=False)
            if mine:
                await self._read_model.load(connection, sheet, [each.key for each in mine])
            if list_joins(self.projection, table):
                await self._joined.fill(connection, mine)
            self._compare(sheet, {each.key: row for each, row in mine.items()}, outcome, samples)
            if not dry_run or self.projection.joins:
                await self._read_model.write(connection, sheet)
        if outcome.mended:
            await self._write_after(connection, sheets, outcome, dry_run=dry_run)
        if not dry_run and outcome.mended:
            await self._read_model.note_lost(connection, self.generation.id, folding.lost | past.lost)
            facts = {name: value for name, value in dataclasses.asdict(outcome).items() if name not in {"samples", "vector"}}
            await note_mended(connection, self.generation.id)
            await note(connection, "repair", self.generation, origin=None, detail={"what": str(selection), **facts})
        return outcome

    async def _write_after(self, connection: Connection, sheets: Mapping[str, Sheet], outcome: Outcome, *, dry_run: bool) -> None:
        """Complete what mended versions decide about, and bring all of it to the sinks, as the partitions' owners, who are locked out."""
        owners = await read_owners(connection, self.generation.id)
        held = {each: Claim(standing.next_offset, standing.epoch) for each, standing in owners.items()}
        if not dry_run:
            await self._copies.claim(connection, held)
            self._copies.note(sheets)
        async with aclosing(self._joined.follow(connection, sheets)) as counts:
            async for count in counts:
                outcome.completed += count
                if not dry_run:
                    self._copies.note(sheets)
        if not dry_run:
            await self._copies.write(held, {})

    def _compare(self, sheet: Sheet, folded: Mapping[Any, Any], outcome: Outcome, samples: int) -> None:
        for key, row in folded.items():
            stored = sheet.rows[key]
            if same(address := Address(sheet.table, key), row, stored):
                continue
            outcome.created += stored is None
            outcome.deleted += row is None
            outcome.changed += stored is not None and row is not None
            outcome.untold += sheet.table.name in self._emits
            if len(outcome.samples) < samples:
                before, after = (None if each is None else dataclasses.asdict(each) for each in (stored, row))
                if self.projection.has_personal:
                    before, after = "(withheld)", "(withheld)"
                outcome.samples.append({"row": str(address), "before": before, "after": after})
            sheet.rows[key] = row
            sheet.dirty.add(key)

    async def _read_parked(self, connection: Connection) -> frozenset[Place]:
        found = await (await connection.execute(load("replay", "list_aside"), {"generation": self.generation.id})).fetchall()
        return frozenset((topic, number, offset) for topic, number, offset, _ in found)


def _require_few(selection: Selection, rows: int, projection: Projection) -> None:
    if rows > MOST:
        raise PreconditionFailed(
            f"{selection}: more than {MOST:,} rows. Rebuild with `replay --projection {projection.name} --from-beginning`."
        )


def _take_none(_: Record) -> bool:
    return False


def _take_all(_: Table[Any], __: Any) -> bool:
    return True


def _is_before(places: frozenset[Place], vector: Vector) -> bool:
    """Say whether one of *places* lies before *vector*. Pure."""
    return any(offset < vector.get((topic, number), 0) for topic, number, offset in places)
