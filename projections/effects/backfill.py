"""Where effects begin, and the events between an effect's vector and the checkpoint: read from the log again, and written down.

There are some after a swap to a generation that was further than the one before, when an effect begins before the present, and when workers
had a release without it. A little is done at a time, between two fetches of the worker that owns the partition, under its fence.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from eventstore.errors import UndecodableRecord
from eventstore.log.assigned import AssignedReader
from eventstore.log.bounds import find_bounds, find_offsets
from eventstore.moments import reach
from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from eventstore.settings import KafkaSettings
from eventstore.source import Record
from projections.control.checkpoint import Claim, Partition, require_held
from projections.control.generation import Generation
from projections.declaration.effect import BEGINNING, Effect
from projections.declaration.projection import EVENTS, Projection
from projections.effects.dispatch import Dispatch, Errand

SLICE_S = 1.0
POLL_S = 0.25


class Backfill:
    """Lets the effects of *projection* begin, and catches up with what the vectors of *dispatch* have not passed."""

    def __init__(self, projection: Projection, generation: Generation, dispatch: Dispatch, kafka: KafkaSettings) -> None:
        self._effects = projection.effects
        self._generation = generation
        self._dispatch = dispatch
        self._kafka = kafka
        self._topic = EVENTS.topic(kafka)
        kinds = frozenset[str]().union(*(each.kinds for each in projection.effects))
        self._read = EVENTS.reader(kinds, whole=True)

    async def tend(self, connection: Connection, held: Mapping[Partition, Claim]) -> bool:
        """Begin what has not begun, fill what lies between in the partitions *held*, and say whether all of it is done.

        Raises Fenced when a partition has a newer owner.
        """
        vectors = await self._dispatch.read_vectors(connection)
        if vectors is None:
            return True
        for effect in self._effects:
            if effect.name not in vectors:
                vectors[effect.name] = await self._find_start(effect)
                await self._dispatch.begin(connection, effect.name, vectors[effect.name])
        gaps: dict[Partition, int] = {}
        for vector in vectors.values():
            for each, offset in vector.items():
                if each in held and offset < held[each].next_offset:
                    gaps[each] = min(offset, gaps.get(each, offset))
        return not gaps or await self._fill(connection, held, gaps)

    async def _find_start(self, effect: Effect) -> dict[Partition, int]:
        partitions = [(self._topic, number) for number in range(self._generation.topics[self._topic])]
        first, ends = await find_bounds(self._kafka, partitions)
        if effect.begin == BEGINNING:
            return first
        if isinstance(effect.begin, datetime):
            found = await find_offsets(self._kafka, dict.fromkeys(partitions, int(effect.begin.timestamp() * 1000)))
            return {each: found.get(each, ends[each]) for each in partitions}
        return ends

    async def _fill(self, connection: Connection, held: Mapping[Partition, Claim], gaps: Mapping[Partition, int]) -> bool:
        parked = await self._read_parked(connection)
        reader = AssignedReader(self._kafka, self._generation.consumer_group)
        here = dict(gaps)
        await reader.open(gaps)
        try:
            reader.limit({each: held[each].next_offset for each in gaps})
            until = time.monotonic() + SLICE_S
            while time.monotonic() < until and any(here[each] < held[each].next_offset for each in here):
                batch = await reader.poll(POLL_S)
                seen = await reader.seen()
                moves = {each: (here[each], min(seen[each], held[each].next_offset)) for each in here if seen[each] > here[each]}
                errands = [each for records in batch.values() for each in self._find(records, parked)]
                async with connection.transaction():
                    for each in sorted(moves):
                        await require_held(connection, self._generation.id, each, held[each])
                    await self._dispatch.record(connection, moves, errands)
                reach("effect.backfilled")
                here |= {each: after for each, (_, after) in moves.items()}
        finally:
            await reader.close()
        return all(here[each] >= held[each].next_offset for each in here)

    async def _read_parked(self, connection: Connection) -> set[tuple[str, int, int]]:
        rows = await connection.execute(load("projections", "list_places"), {"generation": self._generation.id})
        return {(topic, partition, offset) for topic, partition, offset in await rows.fetchall()}

    def _find(self, records: Sequence[Record], parked: set[tuple[str, int, int]]) -> list[Errand]:
        found: list[Errand] = []
        for record in records:
            if (record.topic, record.partition, record.offset) not in parked:
                found += [Errand(name, envelope.id, record) for name, envelope in self._judge(record)]
        return found

    def _judge(self, record: Record) -> list[tuple[str, Any]]:
        """Give the effects of *record*; what can't be read has none, and is parked."""
        try:
            message = self._read(record)
            if message is None:
                return []
            envelope = EVENTS.detail(message.body, message.raw)
        except UndecodableRecord:
            return []
        return [(each.name, envelope) for each in self._effects if message.name in each.kinds]
