"""What the log lacks: readable events that no relay has published yet, and for how long the first of them has waited.

Seen from outside, for a relay that died or stands still shows no lag of its own. Nothing is written and nobody disturbed. Shards
are looked at one by one, so that one which nobody serves is found beside others that go on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log.admin import Admin
from eventstore.log.notes import read_notes
from eventstore.log.partitioner import partition_of
from eventstore.log.tail import read_tail
from eventstore.log.wire import position_of
from eventstore.postgres.pages import TextRow, Wanted, measure_lag, read_page
from eventstore.relay.share import count_shards, find_partitions
from eventstore.relay.stand import note_group
from eventstore.settings import KafkaSettings
from eventstore.stream import START, Position

_PAGE = (10_000, 16 << 20)
_MOST_PAGES = 20


@dataclass(frozen=True, slots=True)
class Lag:
    """The *topic*, the *position* of its newest event, how many are *waiting* (counting ends somewhere above 100,000), how long."""

    topic: str
    position: Position
    waiting: int
    lag_s: float

    def facts(self) -> dict[str, Any]:
        """Give the fields by name, for `--json`."""
        return {**asdict(self), "position": str(self.position)}


async def find_lag(engine: AsyncEngine, kafka: KafkaSettings) -> Lag:
    """Compare the ends of the topic with the store. Raises Unreachable, TimedOut."""
    topic = kafka.events_topic
    async with Admin.open(kafka) as admin:
        partitions = await admin.partitions(topic)
    tails = await read_tail(kafka, topic, partitions) if partitions else {}
    positions = {each: position_of(document) for each, document in tails.items()}
    notes = await read_notes(kafka, topic, note_group(topic)) if partitions else {}
    first, waiting = await _count(engine, topic, _stands(partitions or kafka.partitions, positions, notes))
    # just before the first one that waits: its age by the server's clock
    lag_s = (await measure_lag(engine, Position(first.xid, first.sequence - 1)))[1] if first else 0.0
    return Lag(topic, max(positions.values(), default=START), waiting, lag_s)


def _stands(partitions: int, positions: dict[int, Position], notes: dict[int, str]) -> list[Position]:
    """Give by partition how far its shard is."""
    stands = [START] * partitions
    for shard in range(count_shards(partitions)):
        own = find_partitions(shard, partitions)
        known = [positions[each] for each in own if each in positions] + [
            Position.parse(notes[each]) for each in own if each in notes
        ]
        for each in own:
            stands[each] = max(known, default=START)
    return stands


async def _count(engine: AsyncEngine, topic: str, stands: list[Position]) -> tuple[Position | None, int]:
    """Find the first event that its shard is not past, and count them."""
    first: Position | None = None
    waiting, after = 0, min(stands)
    for _ in range(_MOST_PAGES):
        page = await read_page(engine, after, Wanted(topic, *_PAGE))
        late = [each for each in page if _place(each) > stands[partition_of(each[0], len(stands))]]
        first = first or (_place(late[0]) if late else None)
        waiting += len(late)
        if len(page) < 2:
            break
        after = _place(page[-1])
    return first, waiting


def _place(row: TextRow) -> Position:
    return Position(row[2], row[3])
