"""From the outbox into the derived topic: each event once, in the order of its partition, by one process a generation at a time.

A lock says who should publish, the topic's transactional id who can. Where the topic stands is its newest committed record in each
partition, read after the previous publisher was fenced; its number says what comes next. So a crash between commit and publish, or between
publish and the note of it, neither loses nor repeats anything, and a publisher that wakes up late writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import decode
from eventstore.errors import Fenced, HistoryIncomplete, TimedOut, Unreachable
from eventstore.log.hanging import read_hanging, watching
from eventstore.log.producer import TransactionalProducer
from eventstore.log.tail import read_tail
from eventstore.log.topics import ensure_topic
from eventstore.moments import reach
from eventstore.postgres.engine import ConnectionLost, checkout
from eventstore.postgres.shards import Seats
from eventstore.settings import KafkaSettings
from projections.control.generation import Generation
from projections.control.outbox import Derived, delete_derived, read_derived, read_stands
from projections.feeding.deriving import DERIVES, find_derived

log = logging.getLogger(__name__)
MOST = 2_000
"""Events of one partition that are published in one transaction."""
POLL_S = (0.01, 0.25)
"""Seconds between two looks into the outbox: while events come, and when none did for a while."""
LEASE_S = 10.0
"""Seconds of silence after which the lock of a publisher that hangs goes to another one."""
LOOK_S = 0.25
"""Seconds between two looks whether the lock is free, which is for how long nothing is published when a replay hands over."""
RETRY_S = 1.0
SETTLE_S = 10.0
"""Seconds between two looks whether anything hangs."""


class Publisher:
    """Publishes what *generation* derives, unless another process does. `run` it as a task; it ends when it is cancelled."""

    def __init__(self, generation: Generation, engine: AsyncEngine, kafka: KafkaSettings) -> None:
        topic = find_derived(generation)
        assert topic is not None, "it derives something"
        self.topic = topic
        self.published = 0
        self._generation = generation
        self._partitions: int = generation.detail[DERIVES]
        self._engine = engine
        self._kafka = kafka
        self._woken = asyncio.Event()
        self._stands: dict[int, int] = {}

    @classmethod
    def of(cls, generation: Generation, engine: AsyncEngine, kafka: KafkaSettings) -> Publisher | None:
        """Make the publisher of *generation*; None = it derives nothing."""
        return None if find_derived(generation) is None else cls(generation, engine, kafka)

    def wake(self) -> None:
        """Look into the outbox at once."""
        self._woken.set()

    async def run(self) -> None:
        """Publish whenever the lock is free, for ever. Raises HistoryIncomplete when the topic is not the one that was written to."""
        while True:
            try:
                async with Seats.open(self._engine, self.topic, LEASE_S) as seats:
                    while not await seats.take(0):
                        await self._rest(LOOK_S)
                    await self._serve(seats)
            except (Fenced, TimedOut, Unreachable, *ConnectionLost) as error:
                log.info("%s: publishing begins again: %s", self.topic, error)
                await asyncio.sleep(RETRY_S)

    async def _serve(self, seats: Seats) -> None:
        await ensure_topic(self._kafka, self.topic, self._partitions)
        producer = TransactionalProducer(self._kafka, self.topic, self.topic)
        await producer.start()
        try:
            await self._settle(producer)
            await self._find_stands()
            async with watching(self._kafka, self.topic, lambda: range(self._partitions), SETTLE_S) as suspected:
                await self._go_on(seats, producer, suspected)
        finally:
            await producer.close()

    async def _go_on(self, seats: Seats, producer: TransactionalProducer, suspected: asyncio.Event) -> None:
        pause = POLL_S[0]
        while await seats.take(0):
            if suspected.is_set():
                suspected.clear()
                await self._settle(producer)
            if await self._publish(producer):
                pause = POLL_S[0]
                continue
            await self._rest(pause)
            pause = min(pause * 1.5, POLL_S[1])

    async def _settle(self, producer: TransactionalProducer) -> None:
        """End what hangs (ADR 0038), as committed: partitions stand for themselves, and what hangs is the next that theirs was to get."""
        if hanging := await read_hanging(self._kafka, self.topic, range(self._partitions)):
            log.warning("a transaction of %s hangs in partitions %s: it is ended", self.topic, sorted(hanging))
            await producer.settle(hanging, commit=True)

    async def _find_stands(self) -> None:
        """Read from the log where each partition stands."""
        tails = await read_tail(self._kafka, self.topic, self._partitions)
        self._stands = dict.fromkeys(range(self._partitions), 0)
        self._stands |= {each: decode(document)["streamversion"] for each, document in tails.items()}
        async with checkout(self._engine) as connection:
            known = await read_stands(connection, self._generation.id)
            for each, (number, waiting) in known.items():
                if not number - waiting <= self._stands[each] <= number:
                    raise HistoryIncomplete(
                        f"{self.topic}[{each}] ends with number {self._stands[each]:,}, and {self._generation} published "
                        f"{number - waiting:,} of {number:,}: the topic was lost, or the database is older. Rebuild it, then its readers: "
                        f"`replay --projection {self._generation.projection} --from-beginning`",
                        topic=self.topic,
                    )
            await delete_derived(connection, self._generation.id, self._stands)

    async def _publish(self, producer: TransactionalProducer) -> int:
        """Publish what waits, up to a limit, and give how many events that was."""
        async with checkout(self._engine) as connection:
            page = await read_derived(connection, self._generation.id, self._stands, MOST)
            if not page:
                return 0
            await producer.publish([(each.partition, each.key, each.value, each.timestamp) for each in page], _before_commit)
            reach("derive.after_commit")
            self._stands |= _find_last(page)
            self.published += len(page)
            await delete_derived(connection, self._generation.id, self._stands)
        return len(page)

    async def _rest(self, seconds: float) -> None:
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)


def _find_last(page: list[Derived]) -> dict[int, int]:
    return {each.partition: each.number for each in page}


def _before_commit() -> None:
    reach("derive.before_commit")


@contextlib.asynccontextmanager
async def publishing(publisher: Publisher | None):  # noqa: ANN201
    """Publish inside of the block."""
    if publisher is None:
        yield None
        return
    task = asyncio.create_task(publisher.run(), name=publisher.topic)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
