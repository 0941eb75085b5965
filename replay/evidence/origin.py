"""Why a row is what it is: the exact events behind it, in order, with the row after each.

The row and the vector of its generation are read in one snapshot; then the log is read up to exactly that vector. So the row that the
events give can be compared with the row that is there: they differ when somebody changed it by hand, when a handler isn't
deterministic, or when other code built it. What joins add comes from versions, which are folded from the same log up to the same vector.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import encode
from eventstore.errors import PreconditionFailed
from eventstore.log.partitioner import partition_of
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.keys import opened_keyring
from eventstore.postgres.statements import load
from eventstore.privacy.opener import Opener
from eventstore.settings import KafkaSettings
from projections.control.checkpoint import Vector, read_vector
from projections.control.generation import Generation
from projections.declaration.projection import EVENTS, Projection
from projections.feeding.deriving import name_topics
from projections.fold.sheet import Sheet
from projections.order.epoch import Order
from projections.readmodels.policies import every_tenant
from projections.readmodels.postgres import ReadModel
from projections.release.fingerprint import fingerprint
from replay.evidence.address import Address, is_streamed, is_written
from replay.evidence.cause import Origin, Teller
from replay.evidence.floor import read_floors
from replay.evidence.history import read_history, require_whole
from replay.evidence.past import Past
from replay.evidence.rehearsal import Rehearsal, opened_scratch
from replay.evidence.sieve import Floors, Place, Sieve, Touch, Wanted
from replay.evidence.versions import find_lineages, list_joins, list_set, name_lineage, read_topics
from replay.settings import ReplaySettings

MOST = 1_000_000
"""Events behind the asked-for rows that are held in memory, to show them in the order in which they were recorded."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The rows that are asked for as one snapshot of a generation shows them, its vector, what it set aside, and what somebody skipped."""

    vector: Vector
    stored: Mapping[Address, Any]
    parked: frozenset[Place]
    left_out: frozenset[Place]
    floors: Floors = field(default_factory=dict[str, tuple[Order, int]])


class Explainer:
    """Explains rows of one generation with this process's code. *reveal*: show values of projections with personal data."""

    def __init__(
        self, projection: Projection, generation: Generation, engine: AsyncEngine, kafka: KafkaSettings, *, reveal: bool = False
    ) -> None:
        self.projection = projection
        self.generation = generation
        self._engine = engine
        self._kafka = kafka
        self._topics = name_topics(projection, kafka, generation.topics)
        self._teller = Teller(veiled=projection.has_personal and not reveal)
        self.is_own = generation.fingerprint == fingerprint(projection)

    async def explain(self, addresses: Sequence[Address]) -> list[Origin]:
        """Explain all of *addresses*: the log is read once for rows that are folded, once for those that SQL wrote.

        Where joins complete rows, the topics that their versions are made from are read once more: whose versions they need is known
        only from the folded rows.
        """
        async with checkout(self._engine) as connection, every_tenant(connection, self.projection), connection.transaction():
            await connection.execute(load("replay", "begin_snapshot"))
            scene = await look(connection, self.projection, self.generation, addresses, typed=self.is_own)
            if self.is_own:
                scene = replace(scene, floors=await read_floors(connection, self.projection, self.generation, self._kafka))
        written = [each for each in addresses if is_written(self.projection, each.table)]
        folded = [each for each in addresses if each not in written]
        touches = await self._gather(folded, scene) if folded else {}
        touches |= await self._rehearse(written, scene) if written else {}
        told = {each: self._tell(each, scene, touches[each]) for each in addresses}
        origins = {each: origin for each, (origin, _) in told.items()}
        rows = {each: row for each, (_, row) in told.items()}
        await self._complete(origins, rows, scene)
        for each in addresses:
            self._judge(origins[each], each, rows[each], scene.stored.get(each))
        return [origins[each] for each in addresses]

    async def _gather(self, addresses: Sequence[Address], scene: Scene) -> dict[Address, list[Touch]]:
        by_key = {(each.table.name, each.key): each for each in addresses}
        until, streams = narrow(self.projection, addresses, scene.vector)
        found = await self._sift(lambda table, key: (table.name, key) in by_key, until, scene, streams)
        return {each: found.get(key, []) for key, each in by_key.items()}

    async def _sift(
        self, wanted: Wanted, until: Vector, scene: Scene, streams: frozenset[bytes] | None = None
    ) -> dict[tuple[str, Any], list[Touch]]:
        """Give the touches of the rows *wanted* up to *until*, by table and key, in the order in which they were recorded."""
        found: dict[tuple[str, Any], list[Touch]] = {}
        await require_whole(self._kafka, until)
        async with opened_keyring(self._engine) as keyring:
            opener = Opener(keyring)
            sieve = Sieve(self.projection, self._topics, wanted, opener=opener, parked=scene.parked, streams=streams)
            sieve.set_partitions(self.generation.topics)
            count = 0
            async for batch in read_history(self._kafka, self.generation.consumer_group, {}, until, ReplaySettings().stall_s):
                for touch in await sieve.sift(batch):
                    found.setdefault((touch.table.name, touch.key), []).append(touch)
                    count += 1
                if count > MOST:
                    raise PreconditionFailed(
                        f"more than {MOST:,} events reached these rows, too many to show; ask for a row of fewer"
                    )
            for touch in sieve.finish(scene.floors):
                found.setdefault((touch.table.name, touch.key), []).append(touch)
        for touches in found.values():
            touches.sort(key=_order)
        return found

    async def _rehearse(self, addresses: Sequence[Address], scene: Scene) -> dict[Address, list[Touch]]:
        """Run the SQL of the whole log again, apart; touches come in the order in which it ran."""
        found: dict[Address, list[Touch]] = {each: [] for each in addresses}
        by_key = {(each.table.name, each.key): each for each in addresses}
        await require_whole(self._kafka, scene.vector)
        async with opened_keyring(self._engine) as keyring, opened_scratch(self._engine, self.projection) as scratch:
            rehearsal = Rehearsal(self.projection, self._topics, scratch, opener=Opener(keyring), parked=scene.parked)
            group, stall_s = self.generation.consumer_group, ReplaySettings().stall_s
            async for batch in read_history(self._kafka, group, {}, scene.vector, stall_s):
                for touch in await rehearsal.find(batch, lambda name, key: (name, key) in by_key):
                    found[by_key[touch.table.name, touch.key]].append(touch)
        return found

    async def _complete(self, origins: Mapping[Address, Origin], rows: Mapping[Address, Any], scene: Scene) -> None:
        """Put into *rows* what joins add to them, and note it in their *origins*."""
        joined = {each: row for each, row in rows.items() if row is not None and list_joins(self.projection, each.table)}
        if not joined:
            return
        lineages = find_lineages(self.projection, ((each.table, row) for each, row in joined.items()))
        topics = read_topics(self.projection, self._topics, {name for name, _ in lineages})
        until = {each: offset for each, offset in scene.vector.items() if each[0] in topics}
        touches = await self._sift(lambda table, key: name_lineage(table, key) in lineages, until, scene) if lineages else {}
        past = Past(self.projection, self._teller, touches, scene.left_out)
        for address, row in joined.items():
            origins[address].joins, origins[address].obstacle = past.complete(address.table, row)

    def _tell(self, address: Address, scene: Scene, touches: Sequence[Touch]) -> tuple[Origin, Any]:
        """Give the causes of a row, and the row that they make."""
        origin = Origin(address.table.name, [address.key] if address.table.has_single_key else list(address.key))
        origin.causes, row = self._teller.retell(touches, scene.left_out, list_set(self.projection, address.table))
        return origin, row

    def _judge(self, origin: Origin, address: Address, row: Any, stored: Any) -> None:
        """Note both rows, and whether they are the same."""
        if not self.is_own:
            origin.obstacle = f"{self.generation} was built by other code than this"
        elif not origin.obstacle:
            origin.agrees = same(address, row, stored)
        origin.folded = self._teller.veil(None if row is None else dataclasses.asdict(row))
        origin.stored = self._teller.veil(dataclasses.asdict(stored) if self.is_own and stored is not None else stored)


async def look(
    connection: Connection, projection: Projection, generation: Generation, addresses: Sequence[Address], *, typed: bool
) -> Scene:
    """Read the rows under *addresses*, the vector and what is parked, in the caller's transaction.

    *typed*: rows as the projection's own classes; otherwise as dicts, which also works for columns of another release.
    """
    read_model = ReadModel(projection, generation.schema_name)
    stored: dict[Address, Any] = {}
    for each in addresses:
        if typed:
            sheet = Sheet(each.table, complete=False)
            await read_model.load(connection, sheet, [each.key])
            stored[each] = sheet.rows[each.key]
        else:
            rows = await read_model.rows(connection, each.table.name, [each.key])
            stored[each] = rows[0] if rows else None
    parked = await (await connection.execute(load("replay", "list_aside"), {"generation": generation.id})).fetchall()
    places = frozenset((topic, number, offset) for topic, number, offset, _ in parked)
    left_out = frozenset((topic, number, offset) for topic, number, offset, skipped in parked if skipped)
    return Scene(await read_vector(connection, generation.id), stored, places, left_out)


def narrow(projection: Projection, addresses: Sequence[Address], vector: Vector) -> tuple[Vector, frozenset[bytes] | None]:
    """Give how far to read which partitions, and which streams alone can matter (None = any). Pure."""
    if not all(is_streamed(projection, each.table) for each in addresses):
        return vector, None
    streams = {each.stream for each in addresses}
    counts: dict[str, int] = {}
    for topic, number in vector:
        counts[topic] = max(counts.get(topic, 0), number + 1)
    mine = {(topic, partition_of(stream, count)) for topic, count in counts.items() for stream in streams}
    return {each: vector[each] for each in mine if each in vector}, frozenset(each.encode() for each in streams)


def same(address: Address, folded: Any, stored: Any) -> bool:
    """Say whether two rows hold the same, None being no row."""
    if folded is None or stored is None:
        return folded is stored
    left, right = address.table.plain_values(folded), address.table.plain_values(stored)
    return left == right or encode(left) == encode(right)


def _order(touch: Touch) -> tuple[Any, ...]:
    position = EVENTS.position(touch.record)
    place = touch.record.topic, touch.record.partition, touch.record.offset
    return (position or (0, touch.record.timestamp), *place)
