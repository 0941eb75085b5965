"""Events of the bank straight into the log, in the wire format that the relay writes."""

import json
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventstore.log.partitioner import partition_of
from eventstore.log.producer import TransactionalProducer
from eventstore.log.topics import ensure_events_topic
from eventstore.log.wire import compose
from eventstore.settings import KafkaSettings
from eventstore.stream import Position, Token

AT = '"2026-01-01T00:00:00Z"'
KINDS = ("deposit", "payment", "fee")


class Recorded(NamedTuple):
    """One event as the test knows it."""

    stream: str
    version: int
    position: Position
    type: str
    data: dict[str, Any]

    @property
    def id(self) -> str:
        return str(UUID(int=self.position.sequence))

    @property
    def token(self) -> Token:
        return Token(self.stream, self.version, self.position)

    def document(self) -> bytes:
        """Write it as the relay does."""
        row = (self.stream, self.version, *self.position, self.id, self.type, 1, json.dumps(self.data), "{}", AT, AT, None)
        return compose(row, "bank")


class Ledger:
    """Makes events with gapless versions per stream and rising positions, and remembers all of them."""

    def __init__(self, seed: int = 0) -> None:
        self.events: list[Recorded] = []
        self._versions: dict[str, int] = {}
        self._random = random.Random(seed)

    def note(self, kind: str, stream: str, /, **data: Any) -> Recorded:
        """Make one event of type *kind*."""
        self._versions[stream] = self._versions.get(stream, 0) + 1
        number = len(self.events) + 1
        made = Recorded(stream, self._versions[stream], Position(1000 + number, number), kind, {"account": stream, **data})
        self.events.append(made)
        return made

    def move(self, stream: str, amount: int = 1, kind: str = "deposit") -> Recorded:
        """Move money."""
        return self.note("money-moved", stream, amount=amount, kind=kind)

    def some(self, count: int, accounts: int = 40) -> list[Recorded]:
        """Make *count* events over *accounts* streams: moves, and now and then a closed account or a type nobody handles."""
        return [self._one(f"account-{self._random.randrange(accounts)}") for _ in range(count)]

    def _one(self, stream: str) -> Recorded:
        draw = self._random.random()
        if draw < 0.03:
            return self.note("account-closed", stream)
        if draw < 0.06:
            return self.note("account-noted", stream)
        return self.move(stream, self._random.randrange(-500, 500), self._random.choice(KINDS))


class Log:
    """The events topic of one test."""

    def __init__(self, settings: KafkaSettings, producer: TransactionalProducer) -> None:
        self.settings = settings
        self._producer = producer

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings) -> AsyncIterator["Log"]:
        """Make the topic."""
        await ensure_events_topic(settings)
        producer = TransactionalProducer(settings, settings.events_topic, f"{settings.topic_prefix}.test")
        await producer.start()
        try:
            yield cls(settings, producer)
        finally:
            await producer.close()

    def partition(self, stream: str) -> int:
        """Give the partition of *stream*."""
        return partition_of(stream, self.settings.partitions)

    async def write(self, events: Iterable[Recorded]) -> None:
        """Write *events* in one transaction."""
        await self._producer.publish([(self.partition(e.stream), e.stream.encode(), e.document(), 0) for e in events])

    async def write_at(self, events: Iterable[Recorded], when: datetime) -> None:
        """Write *events* in one transaction, dated *when*."""
        at = int(when.timestamp() * 1000)
        await self._producer.publish([(self.partition(e.stream), e.stream.encode(), e.document(), at) for e in events])

    async def write_raw(self, *records: tuple[str, bytes | None]) -> None:
        """Write any bytes, or no value, under any keys, in one transaction."""
        await self._producer.publish([(self.partition(stream), stream.encode(), value, 0) for stream, value in records])
