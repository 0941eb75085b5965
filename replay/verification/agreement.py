"""`cdc verify`: every read model that mirrors a captured table, compared with it.

The connector must read the log, since the point both sides agree on is proved by a message that it confirms. What differs is looked at
a second time at a newer point before it is said: a transaction that PostgreSQL had already written to the log but not yet shown, or a
record that is being mended, must not be called a difference.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from cdc.connect.client import ConnectClient
from cdc.connect.config import Names, find_names, name_topic
from cdc.connect.declaration import Connector
from cdc.database import SourceDatabase, open_database
from cdc.proof import Proof, Report
from cdc.reading import open_reading
from cdc.survey import find_dsn
from eventstore.errors import UsageError
from eventstore.log.bounds import find_bounds, find_offsets, find_partitions
from eventstore.settings import KafkaSettings
from projections.control.checkpoint import Partition, Vector
from projections.declaration.projection import Projection
from replay.verification.likeness import Comparer, Likeness, Point
from replay.verification.mirror import Mirror, find_mirrors

_LOOK_BACK_MS = 10_000
"""How long a transaction that the log already has may stay invisible; a second look settles what took longer."""


@dataclass(slots=True)
class Agreement:
    """The outcome for one connector; *left_out* says which read models of its tables can't be compared, and why."""

    connector: str
    tables: list[Likeness] = field(default_factory=list[Likeness])
    left_out: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    @property
    def is_equal(self) -> bool:
        """Whether all that was compared is equal."""
        return all(each.is_equal for each in self.tables)

    def covers(self, tables: Sequence[str]) -> bool:
        """Say whether each of *tables* was compared with some read model."""
        return {each.source for each in self.tables} >= set(tables)

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`."""
        return {
            "connector": self.connector,
            "equal": self.is_equal,
            "tables": [each.facts() for each in self.tables],
            "left_out": self.left_out,
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        lines = [f"{self.connector}: {'EQUAL' if self.is_equal else 'DIFFERENT'} ({self.seconds:g} s)"]
        for each in self.tables:
            lines.append(f"  {each}")
            lines += [f"    {one['first']} to {one['last']}: {_write_rows(one)}" for one in each.differing[:5]]
            lines += [f"    {one['key']}: expected {one['expected']}, found {one['found']}" for one in each.samples]
        return "\n".join([*lines, *(f"  not compared: {each}" for each in self.left_out)])


def _write_rows(differing: dict[str, Any]) -> str:
    return f"{differing['expected_rows']:,} rows expected, {differing['found_rows']:,} found"


@dataclass(frozen=True, slots=True)
class Verifier:
    """Compares the read models of *projections* in *engine*'s database with their source."""

    connector: Connector
    projections: Sequence[Projection]
    engine: AsyncEngine
    kafka: KafkaSettings
    deadline: float
    report: Report
    ranges: int = 64
    samples: int = 5

    @property
    def names(self) -> Names:
        """What the connector is called."""
        return find_names(self.connector, self.kafka)

    def list_mirrors(self) -> tuple[list[Mirror], list[str]]:
        """Give what can be compared, and why the rest can't."""
        return find_mirrors(self.projections, self.names.prefix, self.connector.tables, self.kafka)

    def find(self) -> tuple[list[Mirror], list[str]]:
        """Find what can be compared. Raises UsageError when nothing can."""
        mirrors, left_out = self.list_mirrors()
        if not mirrors:
            why = "; ".join(left_out) or f"no table of a projection is made from {', '.join(self.connector.tables)}"
            raise UsageError(f"nothing can be compared with the source {self.connector.name}: {why}", left_out=left_out)
        return mirrors, left_out

    async def verify(self) -> Agreement:
        """Compare all. Raises TimedOut, PreconditionFailed, ConnectorFailed, Unreachable when there is no common point."""
        started = time.monotonic()
        mirrors, left_out = self.find()
        found = {str(each.mirror): each for each in await self._look(mirrors)}
        doubtful = [each for each in mirrors if not found[str(each)].likeness.is_equal]
        if doubtful:
            self.report("something differs: it is looked at once more, at a newer point")
            found |= {str(each.mirror): each for each in await self._look(doubtful)}
        looked = [found[str(each)].likeness for each in mirrors]
        tables = [each for each in looked if not each.obstacle]
        left_out += [f"{each.projection}.{each.table} {each.obstacle}" for each in looked if each.obstacle]
        return Agreement(self.connector.name, tables, left_out, round(time.monotonic() - started, 2))

    async def _look(self, mirrors: Sequence[Mirror]) -> list[_Seen]:
        topics = await find_partitions(self.kafka, sorted({name_topic(self.names.prefix, each.source.table) for each in mirrors}))
        partitions = [(topic, number) for topic, count in topics.items() for number in range(count)]
        config = await self._read_config()
        dsn = find_dsn(self.connector, config)
        comparer = Comparer(self.engine, self.kafka, self.deadline, self.ranges, self.samples)
        async with ConnectClient() as connect, open_database(dsn) as database:
            proof = self._prove(connect, database)
            await proof.wait_streaming()
            behind, begun = await self._find_behind(partitions)
            async with open_reading(dsn) as reading:
                await proof.wait()
                _, ahead = await find_bounds(self.kafka, partitions)
                seen: list[_Seen] = []
                for each in mirrors:
                    seen.append(_Seen(each, await comparer.compare(each, Point(reading, config, behind, begun, ahead))))
                    if not seen[-1].likeness.obstacle:
                        self.report(str(seen[-1].likeness))
                return seen

    def _prove(self, connect: ConnectClient, database: SourceDatabase) -> Proof:
        return Proof(connect, database, self.names.connector, self.names.slot, self.deadline, _say_nothing)

    async def _read_config(self) -> Mapping[str, str]:
        """Give what the connector runs with, which says what its records hold; as declared where it does not run."""
        async with ConnectClient() as connect:
            return await connect.read_config(self.names.connector) or self.connector.options

    async def _find_behind(self, partitions: Iterable[Partition]) -> tuple[Vector, Vector]:
        """Give offsets before which the log has nothing that a snapshot taken from now on would not show, and where it ends."""
        wanted = list(partitions)
        _, ends = await find_bounds(self.kafka, wanted)
        since = int(time.time() * 1000) - _LOOK_BACK_MS
        return {**ends, **await find_offsets(self.kafka, dict.fromkeys(wanted, since))}, ends


@dataclass(frozen=True, slots=True)
class _Seen:
    mirror: Mirror
    likeness: Likeness


def _say_nothing(_: str) -> None:
    pass
