"""Reading the store and its topic as one: events that the log no longer has from the event table, the rest from Kafka.

The interface is that of `eventstore.log.assigned.AssignedReader`. An event of the store takes its number within its partition for an
offset, which is never above the offset that it once had, since markers and retries only add to those; the last one takes the offset right
before the edge. So a checkpoint says how many of the store's events are folded, and after the last of them where the log goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import HistoryIncomplete
from eventstore.log.assigned import AssignedReader
from eventstore.log.consumer import Batch, Partition
from eventstore.log.fetch import LogRecord
from eventstore.log.partitioner import partition_of
from eventstore.log.wire import compose
from eventstore.postgres.pages import TextRow, Wanted, read_page
from eventstore.stream import Position
from replay.construction.edge import Edges

PAGE = Wanted("", 5_000, 8 << 20)
"""No topic: whichever way an event went to the log, it is in the store."""
BEGINNING = Position(0, 0)


class StitchedReader:
    """Reads the partitions of *edges* from the store up to there, then all from the log."""

    def __init__(self, engine: AsyncEngine, tail: AssignedReader, topic: tuple[str, int], edges: Edges) -> None:
        self._engine = engine
        self._tail = tail
        self._topic, self._count = topic
        self._edges = edges
        self._after = BEGINNING
        self._open: set[Partition] = set()
        self._skip: dict[Partition, int] = {}
        self._given: dict[Partition, int] = {}
        self._kept: dict[Partition, TextRow] = {}

    async def open(self, start: Mapping[Partition, int]) -> None:
        """Connect and take up *start*."""
        await self._tail.open({each: self._where(each, offset) for each, offset in start.items()})
        self._begin(start)

    async def close(self) -> None:
        """Leave; safe to repeat."""
        await self._tail.close()

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Go on from *offsets*, the store's among them."""
        self._tail.seek({each: self._where(each, offset) for each, offset in offsets.items()})
        self._begin(offsets)

    def limit(self, offsets: Mapping[Partition, int] | None) -> None:
        """Give no record of the log at or past *offsets*; the store's lie before any."""
        self._tail.limit(offsets)

    async def poll(self, timeout_s: float) -> Batch:
        """Give a page of the store's events by partition while there are some to give, then what the log has."""
        while self._open:
            if batch := await self._turn_page():
                return batch
        return await self._tail.poll(timeout_s)

    async def seen(self) -> dict[Partition, int]:
        """Give how far each partition was read."""
        return {**await self._tail.seen(), **{each: self._given.get(each, 0) for each in self._open}}

    async def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Give the end of the committed log of each partition."""
        return await self._tail.ends(partitions)

    async def tell_progress(self, offsets: Mapping[Partition, int]) -> None:
        """Commit *offsets* to Kafka for lag tools."""
        await self._tail.tell_progress(offsets)

    def _where(self, partition: Partition, offset: int) -> int:
        edge = self._edges.get(partition)
        return offset if edge is None else max(offset, edge.offset)

    def _begin(self, start: Mapping[Partition, int]) -> None:
        self._open = {each for each, edge in self._edges.items() if each in start and start[each] < edge.following}
        self._skip = {each: start[each] for each in self._open}
        self._given = dict.fromkeys(self._open, 0)
        self._kept.clear()
        self._after = BEGINNING
        for each in self._open:
            self._tail.hold(each)

    async def _turn_page(self) -> Batch:
        batch: dict[Partition, list[Any]] = {}
        page = await read_page(self._engine, self._after, PAGE)
        for row in page:
            each = (self._topic, partition_of(row[0], self._count))
            if each in self._open and (row[2], row[3]) < self._edges[each].position:
                if each in self._kept:
                    self._give(each, self._kept[each], batch)
                self._kept[each] = row
        if page:
            self._after = Position(page[-1][2], page[-1][3])
        if not page or all(self._after >= self._edges[each].position for each in self._open):
            self._finish(batch)
        return dict(batch)

    def _finish(self, batch: dict[Partition, list[Any]]) -> None:
        """Give the last event of each partition the offset before the edge, and let the log go on from there."""
        for each in self._open:
            edge = self._edges[each]
            if each in self._kept:
                self._given[each] = max(self._given[each], edge.following - 1)
                self._give(each, self._kept[each], batch)
            self._tail.release(each, edge.offset)
        self._open.clear()
        self._kept.clear()

    def _give(self, partition: Partition, row: TextRow, batch: dict[Partition, list[Any]]) -> None:
        offset = self._given[partition]
        if offset >= self._edges[partition].following:
            raise HistoryIncomplete(
                f"the store has more events of {partition[0]}[{partition[1]}] than the log had offsets before {offset:,}: it was not "
                "written from this store's beginning. Publish the events again into a new topic (REFOLD_KAFKA_TOPIC_PREFIX)."
            )
        self._given[partition] = offset + 1
        if offset >= self._skip[partition]:
            value = compose(row[:12], "store")
            batch.setdefault(partition, []).append(LogRecord(*partition, offset, row[12], row[0].encode(), value, ()))
