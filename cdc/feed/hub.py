"""One reader of the topics' ends for all clients of a process, and a bounded queue for each of them.

A client that takes its changes in time is served from its queue. One whose queue is full is left behind: its queue is dropped, and it
reads the log by itself until it has caught up. So a slow client costs no memory, holds nobody up, and misses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from cdc.feed.offer import Offer
from eventstore.errors import HistoryIncomplete, UndecodableRecord, Unreachable
from eventstore.log.assigned import AssignedReader
from eventstore.log.bounds import find_bounds, find_partitions
from eventstore.log.consumer import Batch, LogError, Partition
from eventstore.settings import KafkaSettings
from eventstore.source import Record

log = logging.getLogger(__name__)
_POLL_S = 0.5


class Item(NamedTuple):
    """What is said of one record: *said* to the clients of which tenant (None = everybody); *offset* is the next one."""

    partition: Partition
    offset: int
    said: tuple[tuple[str | None, bytes], ...]
    event: str = "change"


class Reading:
    """Reads records as items; shared by the hub and by clients that catch up."""

    def __init__(self, offers: Mapping[str, Offer]) -> None:
        self._offers = offers
        self._decode = {topic: each.source.reader(frozenset(each.source.messages)) for topic, each in offers.items()}

    def read(self, record: Record) -> Item:
        """Read one record; one that can't be decoded or shown says only that. Raises Unreachable without a registry that it needs."""
        partition, offset = (record.topic, record.partition), record.offset + 1
        try:
            message = self._decode[record.topic](record)
            said = () if message is None else tuple(self._offers[record.topic].show(message.body))
        except (UndecodableRecord, ValueError, TypeError) as error:
            log.warning("%s[%d] offset %d can't be shown: %s", *partition, record.offset, error)
            return Item(partition, offset, ((None, b"{}"),), "undecodable")
        return Item(partition, offset, said)


class Queue:
    """What one client has yet to take. *start* is where the hub stood when it was opened."""

    def __init__(self, start: dict[Partition, int], size: int) -> None:
        self.start = start
        self.is_over = False
        self._size = size
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()

    def put(self, item: Item) -> None:
        """Add an item; when there are too many, drop all: the client reads them from the log."""
        if len(self._items) >= self._size:
            self.end()
        if not self.is_over:
            self._items.append(item)
            self._filled.set()

    def end(self) -> None:
        """Give no more items."""
        self.is_over = True
        self._items.clear()
        self._filled.set()

    async def take(self, timeout_s: float) -> list[Item]:
        """Give what is there; empty after *timeout_s* seconds, and when the client was left behind."""
        if not self._items and not self.is_over:
            self._filled.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._filled.wait()
        items = list(self._items)
        self._items.clear()
        return items


class Hub:
    """Reads while there are clients."""

    def __init__(self, kafka: KafkaSettings, offers: Mapping[str, Offer], behind: int) -> None:
        self.left_behind = 0
        self._kafka = kafka
        self._topics = list(offers)
        self._reading = Reading(offers)
        self._behind = behind
        self._queues: set[Queue] = set()
        self._vector: dict[Partition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._ready = asyncio.Lock()

    async def open(self) -> Queue:
        """Open a queue for a client. Raises PreconditionFailed without topics, Unreachable."""
        async with self._ready:
            if self._task is None or self._task.done():
                await self._start()
        queue = Queue(dict(self._vector), self._behind)
        self._queues.add(queue)
        return queue

    def close(self, queue: Queue) -> None:
        """Forget a client; with the last one the reading ends."""
        self.left_behind += queue.is_over
        self._queues.discard(queue)
        if not self._queues:
            self._end()

    async def aclose(self) -> None:
        """End reading, and every client with it."""
        self._end()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            task.cancel()

    @property
    def is_alive(self) -> bool:
        """Whether the hub reads."""
        return self._task is not None and not self._task.done()

    async def _start(self) -> None:
        counts = await find_partitions(self._kafka, self._topics)
        partitions = [(topic, each) for topic, count in counts.items() for each in range(count)]
        self._vector = (await find_bounds(self._kafka, partitions))[1]
        reader = AssignedReader(self._kafka, f"{self._kafka.topic_prefix}.feed", bulk=False)
        await reader.open(self._vector)
        self._queues = set()
        self._task = asyncio.create_task(self._run(reader, self._queues), name="change feed")

    async def _run(self, reader: AssignedReader, queues: set[Queue]) -> None:
        """Read until cancelled; an error ends all *queues*, and their clients come again."""
        try:
            while True:
                batch = await reader.poll(_POLL_S)
                self._hand_out(batch, await reader.seen())
        except (LogError, OSError, HistoryIncomplete, Unreachable) as error:
            log.warning("the change feed ends its clients' connections: %s", error)
        finally:
            for each in queues:
                each.end()
            await reader.close()

    def _hand_out(self, batch: Batch, seen: Mapping[Partition, int]) -> None:
        """Give items to every queue and move the vector, without a pause between: who opens a queue misses nothing."""
        for records in batch.values():
            for record in records:
                item = self._reading.read(record)
                for queue in self._queues:
                    queue.put(item)
        self._vector.update(seen)
