"""Whether read models equal their source, at one point that both sides agree on, while writes go on.

The source is read in one snapshot. A message written after it, and confirmed by the connector, proves that the log has everything the
snapshot shows; the read model is then waited for. What it shows in *its* snapshot is the source's plus the changes that came between,
and those are in the log: transactions that the source's snapshot does not contain, up to the read model's checkpoint. So the rows
expected are those of the source, folded on by exactly these changes, and the comparison is exact for any load.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from cdc.change import Change
from cdc.connect.scope import Selection
from cdc.reading import Reading
from eventstore.errors import PreconditionFailed, TimedOut
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.statements import load
from eventstore.settings import KafkaSettings
from projections.control.catalogue import find_live
from projections.control.checkpoint import Partition, Vector, has_reached, read_seen, read_vector
from projections.control.generation import Generation
from projections.declaration.projection import Projection
from projections.fold.sheet import Sheet
from projections.readmodels.policies import every_tenant
from projections.readmodels.postgres import ReadModel
from projections.readmodels.shadow import HERE, Shadow
from projections.release.fingerprint import fingerprint
from replay.evidence.history import read_history
from replay.verification.mirror import Maker, Mirror

_PIECE = 5_000
_PROBES = 50
_POLL_S = 0.1
_STALL_S = 30.0
_MOST_GROUPS = 1_000_000


@dataclass(slots=True)
class Likeness:
    """A table of a read model beside its source; *ranges* of keys were compared, *differing* are those that are not equal.

    *later*: changes after the source's snapshot that were taken from the log. *parked*: records that the generation set aside, which its
    rows lack. *uncaptured*: columns of the source that the connector does not send. *uncompared*: columns of the read model whose values
    can't be made from the source, by their type, because the connector masks or cuts them, or since they say when a row changed.
    *joined*: columns that a join fills, each with the table of versions from which; they are not compared either.
    """

    source: str
    projection: str
    table: str
    generation: int
    expected_rows: int = 0
    found_rows: int = 0
    missing: int = 0
    surplus: int = 0
    changed: int = 0
    ranges: int = 0
    differing: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    samples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    later: int = 0
    parked: int = 0
    refused: int = 0
    obstacle: str = ""
    """Why the source can't tell what its rows should be, when it can't; nothing was compared then."""
    uncaptured: list[str] = field(default_factory=list[str])
    uncompared: list[str] = field(default_factory=list[str])
    joined: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def is_equal(self) -> bool:
        """Whether every row of the source is there as its handlers make it, and no other."""
        return not (self.missing or self.surplus or self.changed)

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`."""
        return {**asdict(self), "equal": self.is_equal}

    def __str__(self) -> str:
        what = f"{self.source} -> {self.projection}.{self.table} (g{self.generation})"
        left = f"; the connector leaves out {', '.join(self.uncaptured)}" if self.uncaptured else ""
        left += f", without {', '.join(self.uncompared)}" if self.uncompared else ""
        joined = [f"{name} (from {past})" for name, past in self.joined.items()]
        left += f", without what is joined: {', '.join(joined)}" if joined else ""
        if self.is_equal:
            return f"{what}: {self.found_rows:,} rows equal in {self.ranges} ranges{left}"
        aside = f"; {self.parked:,} records are parked" if self.parked else ""
        return (
            f"{what}: DIFFERENT, {self.missing:,} rows missing, {self.surplus:,} too many, {self.changed:,} changed, in "
            f"{len(self.differing)} of {self.ranges} ranges{left}{aside}"
        )


@dataclass(frozen=True, slots=True)
class Point:
    """What the source's snapshot shows, the configuration of its connector, and three offset vectors.

    What is not in the snapshot comes after *behind*, what is in it before *ahead*. *begun* is where the log ended before it was taken.
    """

    reading: Reading
    config: Mapping[str, str]
    behind: Vector
    begun: Vector
    ahead: Vector

    def shows(self, change: Change, partition: Partition, offset: int) -> bool:
        """Say whether the snapshot contains *change*; what names no transaction (a row read beside the stream) goes by its offset."""
        tx_id = change.source.tx_id
        return offset < self.begun.get(partition, 0) if tx_id is None else self.reading.snapshot.shows(tx_id)


@dataclass(frozen=True, slots=True)
class Comparer:
    """Compares the read models of *engine* with the source, giving up at *deadline* (by `time.monotonic`)."""

    engine: AsyncEngine
    kafka: KafkaSettings
    deadline: float
    ranges: int = 64
    samples: int = 5

    async def find_generation(self, projection: Projection) -> Generation:
        """Give the live generation. Raises PreconditionFailed when there is none, or when other code built it."""
        async with checkout(self.engine) as connection:
            live = await find_live(connection, projection.name)
        if live is None:
            raise PreconditionFailed(f"nothing of {projection.name} is live: start `projections run`")
        if live.fingerprint != fingerprint(projection):
            raise PreconditionFailed(
                f"{live} was built by code {live.fingerprint} and this is {fingerprint(projection)}: only its own handlers tell what "
                "its rows should be. Run this in its release, or replay first."
            )
        return live

    async def compare(self, mirror: Mirror, point: Point) -> Likeness:
        """Compare one table. Raises TimedOut when nobody feeds its projection."""
        generation = await self.find_generation(mirror.projection)
        found = Likeness(mirror.source.table, mirror.projection.name, mirror.table.name, generation.number, joined=mirror.joined)
        async with checkout(self.engine) as connection, every_tenant(connection, mirror.projection):
            shadow = Shadow(connection, mirror.table, generation.schema_name)
            await shadow.open()
            try:
                await self._confront(_Stage(mirror, generation, connection, shadow, self.kafka), point, found)
            finally:
                await shadow.close()
        return found

    async def _confront(self, stage: _Stage, point: Point, found: Likeness) -> None:
        sent = await point.reading.select(stage.mirror.source.table, point.config)
        found.obstacle, found.uncaptured = await stage.fill(point.reading, sent), list(sent.left_out)
        if found.obstacle:
            return
        topic = stage.mirror.source.topic(self.kafka)
        behind, ahead = _of_topic(topic, point.behind), _of_topic(topic, point.ahead)
        here = await self._await_reached(stage, ahead)
        found.later += await stage.advance(point, behind, here)
        async with _one_snapshot(stage.connection):
            vector = _of_topic(topic, await read_vector(stage.connection, stage.generation.id))
            changes = await stage.collect(point, here, vector)
            found.later += len(changes)
            rows = await stage.fold(changes)
            await self._judge(stage, rows, found)
            values = {"generation": stage.generation.id, "topic": topic}
            [(found.parked,)] = await (await stage.connection.execute(load("replay", "read_aside"), values)).fetchall()
        found.refused, found.uncompared = stage.maker.failed, sorted(stage.maker.unread | stage.maker.dated)

    async def _await_reached(self, stage: _Stage, ahead: Vector) -> Vector:
        """Wait until the read model has all of the snapshot, and give its vector."""
        while not has_reached(await read_seen(stage.connection, stage.generation.id), ahead):
            if time.monotonic() > self.deadline:
                raise TimedOut(
                    f"{stage.generation} has not read what its source holds: does a worker feed it (`projections status`)? "
                    "Otherwise give more time with --timeout."
                )
            await asyncio.sleep(_POLL_S)
        return await read_vector(stage.connection, stage.generation.id)

    async def _judge(self, stage: _Stage, rows: Mapping[Any, Any], found: Likeness) -> None:
        """Compare in the open snapshot: *rows* changed since the stage was filled one by one, all others by digest."""
        shadow, without = stage.shadow, sorted(stage.maker.unread | stage.maker.dated | found.joined.keys())
        named = {await shadow.name_key(key): row for key, row in rows.items()}
        ranges = await shadow.digest(self.ranges, list(named), without)
        found.ranges = len(ranges)
        found.expected_rows = sum(each.expected_rows for each in ranges)
        found.found_rows = sum(each.found_rows for each in ranges)
        keys: list[str] = []
        if not all(each.is_equal for each in ranges):
            found.differing = [each.facts() for each in ranges if not each.is_equal]
            counted = await shadow.differ(self.samples, list(named), without)
            found.missing, found.surplus, found.changed, keys = counted.missing, counted.surplus, counted.changed, counted.keys
        for key, row in named.items():
            _, there = await shadow.look(key)
            found.expected_rows += row is not None
            found.found_rows += there is not None
            if not await shadow.holds(key, row, without):
                found.missing += there is None
                found.surplus += row is None
                found.changed += row is not None and there is not None
        for key in keys:
            expected, there = (_leave_out(each, without) for each in await shadow.look(key))
            found.samples.append({"key": key, "expected": expected, "found": there})


@dataclass(slots=True)
class _Stage:
    """The expected rows of one table while they are made."""

    mirror: Mirror
    generation: Generation
    connection: Connection
    shadow: Shadow
    kafka: KafkaSettings
    maker: Maker = field(init=False)
    _model: ReadModel = field(init=False)

    def __post_init__(self) -> None:
        self.maker = Maker(self.mirror)
        self._model = ReadModel(self.mirror.projection, HERE)

    async def fill(self, reading: Reading, sent: Selection) -> str:
        """Make a row of each source row, in pieces where each has its own, else all together; gives why the source does not tell."""
        source, rows, first = self.mirror.source, dict[Any, Any](), list[Change]()
        if sent.is_told and await reading.shares(source.table, sent.key):
            return f"is made from rows that share a key ({', '.join(sent.key)}, by message.key.columns)"
        async with aclosing(reading.rows(source.table, source.columns, sent)) as changes:
            async for change in changes:
                if len(first) < _PROBES:
                    first.append(copy.deepcopy(change))
                    if self.maker.is_dated(change):
                        return "is kept under the times of changes, which the source does not tell"
                    if len(first) > 1 and Maker(self.mirror).remembers(first[-2:]):
                        return "depends on more than the newest change"
                self.maker.apply(change, rows)
                if len(rows) >= _PIECE and self.mirror.is_keyed:
                    await self._write(rows)
                    rows = {}
                elif len(rows) > _MOST_GROUPS:
                    raise PreconditionFailed(
                        f"{self.mirror}: more than {_MOST_GROUPS:,} rows under keys of their own can't be compared"
                    )
        await self._write(rows)
        await self._model.require_key(self.connection, self.mirror.table.name)
        return ""

    async def advance(self, point: Point, start: Vector, until: Vector) -> int:
        """Fold on what the log has between *start* and *until*; give how many changes that were."""
        changes = await self.collect(point, start, until)
        await self._write(await self.fold(changes), known=True)
        return len(changes)

    async def collect(self, point: Point, start: Vector, until: Vector) -> list[Change]:
        """Give the changes between *start* and *until* that the source's snapshot does not contain."""
        source, found = self.mirror.source, list[Change]()
        read, topic = source.reader(frozenset(source.messages)), source.topic(self.kafka)
        until = {each: offset for each, offset in until.items() if each[0] == topic}
        async for batch in read_history(self.kafka, self.generation.consumer_group, start, until, _STALL_S):
            for partition, record in ((place, each) for place, records in batch.items() for each in records):
                message = read(record)
                change: Change | None = None if message is None else message.body
                if change is None or point.shows(change, partition, record.offset):
                    continue
                if change.op == "t":
                    raise PreconditionFailed(f"{source.table} was emptied by TRUNCATE while it was compared: run this again")
                found.append(change)
        return found

    async def fold(self, changes: Sequence[Change]) -> dict[Any, Any]:
        """Give the rows that *changes* make of those expected so far, by key."""
        keys = list(dict.fromkeys(key for change in changes for key in self.maker.keys(change)))
        sheet = Sheet(self.mirror.table, complete=False)
        if keys:
            await self._model.load(self.connection, sheet, keys)
        rows: dict[Any, Any] = {}
        for change in changes:
            self.maker.apply(change, rows, sheet.rows)
        return rows

    async def _write(self, rows: Mapping[Any, Any], *, known: bool = False) -> None:
        sheet = Sheet(self.mirror.table, complete=not known)
        sheet.rows.update(rows)
        sheet.dirty.update(rows)
        sheet.stored.update(rows if known else ())
        async with self.connection.transaction():
            await self._model.write(self.connection, sheet)


@asynccontextmanager
async def _one_snapshot(connection: Connection) -> AsyncGenerator[None]:
    async with connection.transaction():
        await connection.execute(load("replay", "begin_snapshot"))
        await connection.execute(load("replay", "allow_idling"))
        yield


def _leave_out(row: dict[str, Any] | None, columns: Sequence[str]) -> dict[str, Any] | None:
    return None if row is None else {name: value for name, value in row.items() if name not in columns}


def _of_topic(topic: str, vector: Vector) -> Vector:
    return {each: offset for each, offset in vector.items() if each[0] == topic}
