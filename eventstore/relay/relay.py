"""The relay: reads all events in order and publishes them in Kafka transactions.

It keeps no notes. A transaction holds a contiguous range of positions over all partitions, so where the relay stands is the
highest position among the last committed records: read once at start, after the previous owner was fenced. Hence a crash at any
point neither loses nor repeats an event. It polls, because a NOTIFY in the append transaction would make writers queue for one
lock at commit; the interval is short while events come and grows while none do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from psycopg import Error as PostgresError
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import decode
from eventstore.errors import PreconditionFailed, TimedOut, Unreachable
from eventstore.log.partitioner import partition_of
from eventstore.log.producer import Entry, TransactionalProducer
from eventstore.log.tail import read_tail
from eventstore.log.topics import ensure_events_topic
from eventstore.log.wire import compose, position_of
from eventstore.moments import reach
from eventstore.postgres.pages import TextRow, find_event, read_page
from eventstore.postgres.refusals import is_lost
from eventstore.settings import KafkaSettings, RelaySettings
from eventstore.stream import START, Position

log = logging.getLogger(__name__)
_GROWTH = 1.5
_RETRY_S = (0.1, 5.0)


@dataclass(slots=True)
class Progress:
    """Where a relay stands: *published* events since it started, the *position* of the last, and its *restarts*."""

    published: int = 0
    position: Position = START
    restarts: int = 0


class Relay:
    """Publishes the events of the store behind *engine*. One runs at a time; a second one takes over and fences the first."""

    def __init__(self, engine: AsyncEngine, kafka: KafkaSettings | None = None, settings: RelaySettings | None = None) -> None:
        self._engine = engine
        self._kafka = kafka or KafkaSettings()
        self._settings = settings or RelaySettings()
        self._topic = self._kafka.events_topic
        self.progress = Progress()

    async def run(self, stop: asyncio.Event) -> Progress:
        """Relay until *stop* is set; the transaction in hand is finished first.

        Servers that fail are waited for, with growing pauses. Raises Fenced when another relay took over, PreconditionFailed
        when the topic is not this store's or not fit to hold it.
        """
        pause = _RETRY_S[0]
        while not stop.is_set():
            before = self.progress.published
            try:
                await self._session(stop, drain=False)
            except (Unreachable, TimedOut, PostgresError) as error:
                if isinstance(error, PostgresError) and not is_lost(error):
                    raise
                pause = _RETRY_S[0] if self.progress.published > before else min(pause * 2, _RETRY_S[1])
                self.progress.restarts += 1
                log.warning("relay starts again in %.1f s: %s", pause, error)
                await _wait(stop, pause)
        return self.progress

    async def drain(self) -> Progress:
        """Relay all that is readable now, then return. Raises like `run`, and Unreachable."""
        await self._session(asyncio.Event(), drain=True)
        return self.progress

    async def _session(self, stop: asyncio.Event, *, drain: bool) -> None:
        """Take over, find where to go on, and publish until stopped, drained or broken."""
        await ensure_events_topic(self._kafka)
        producer = TransactionalProducer(self._kafka, self._topic, f"{self._topic}.relay")
        await producer.start()
        try:
            self.progress.position = await self._stand()
            await self._pump(producer, stop, drain=drain)
        finally:
            await producer.close()

    async def _stand(self) -> Position:
        """Find the position of the last event in the log. Raises PreconditionFailed when it is not one of this store."""
        tails = await read_tail(self._kafka, self._topic, self._kafka.partitions)
        if not tails:
            return START
        position, document = max((position_of(each), each) for each in tails.values())
        event_id = decode(document)["id"]
        found = await find_event(self._engine, position)
        if found != event_id:
            raise PreconditionFailed(
                f"topic {self._topic} ends with event {event_id} at position {position}, where this store has {found or 'none'}: "
                "the topic belongs to another database, or the database was restored to an earlier state. Choose another "
                "REFOLD_KAFKA_TOPIC_PREFIX, or delete the topic to relay everything again.",
                topic=self._topic,
                position=str(position),
            )
        return position

    async def _pump(self, producer: TransactionalProducer, stop: asyncio.Event, *, drain: bool) -> None:
        """Publish page after page; the next page is read while the last one is being published."""
        delay = self._settings.poll_s
        page = await self._read(self.progress.position)
        while not stop.is_set():
            if not page:
                if drain:
                    return
                await _wait(stop, delay)
                delay = min(delay * _GROWTH, self._settings.idle_poll_s)
                page = await self._read(self.progress.position)
                continue
            delay = self._settings.poll_s
            ahead = asyncio.create_task(self._read(_position(page)))
            try:
                await self._publish(producer, page)
                page = await ahead
            finally:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def _publish(self, producer: TransactionalProducer, page: list[TextRow]) -> None:
        await producer.publish(self._entries(page), before_commit=lambda: reach("relay.before_commit"))
        self.progress.published += len(page)
        self.progress.position = _position(page)
        reach("relay.after_commit")

    def _entries(self, page: list[TextRow]) -> list[Entry]:
        partitions, source = self._kafka.partitions, self._settings.source
        return [(partition_of(row[0], partitions), row[0].encode(), compose(row[:12], source), row[12]) for row in page]

    async def _read(self, after: Position) -> list[TextRow]:
        return await read_page(self._engine, after, self._settings.batch_events, self._settings.batch_bytes)


def _position(page: list[TextRow]) -> Position:
    return Position(page[-1][2], page[-1][3])


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
