"""Reading by consumer group, behind a gate.

aiokafka publishes an assignment before its listener runs, goes on fetching from Kafka's own committed offsets meanwhile, and
swallows what a listener raises. Hence the gate: the listener only pauses and closes it; the reader's own loop claims the
checkpoint, seeks and opens it, so that a failure there is raised where somebody hears it. Source: ADR 0004.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import NoOffsetForPartitionError

from eventstore.log.consumer import Batch, Partition, Reader, start_consumer
from eventstore.settings import KafkaSettings

Claiming = Callable[[list[Partition]], Awaitable[Mapping[Partition, int]]]


class GroupReader(Reader):
    """Reads what the consumer group assigns, starting where *claim* says, and never hands out a record of an older assignment."""

    def __init__(self, settings: KafkaSettings, group: str, topics: Sequence[str], claim: Claiming) -> None:
        super().__init__(settings, group, bulk=False)
        self._topics = list(topics)
        self._claim = claim
        self._gate = 0
        self._open = False
        self._assigned: list[Partition] | None = None
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Connect and join the group."""
        await start_consumer(self._consumer, self.settings)
        self._consumer.subscribe(self._topics, listener=_Listener(self))

    @property
    def gate(self) -> int:
        """The number of the present assignment; work begun under another number must be dropped."""
        return self._gate

    @property
    def is_open(self) -> bool:
        """True while an assignment is claimed and records flow."""
        return self._open

    @property
    def assigned(self) -> list[Partition]:
        """The partitions in this reader's hands."""
        return sorted(self._assigned or [])

    async def poll(self, timeout_s: float) -> Batch:
        """Give what was fetched under the present assignment; empty after *timeout_s* seconds, and while there is none."""
        if not self._open and not await self._enter(timeout_s):
            return {}
        gate = self._gate
        try:
            batch = await self._poll(timeout_s)
        except NoOffsetForPartitionError:
            if gate == self._gate and self._open:
                raise
            return {}
        return batch if gate == self._gate and self._open else {}

    async def _enter(self, timeout_s: float) -> bool:
        if self._assigned is None:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), timeout_s)
        if self._assigned is None:
            return False
        gate, assigned = self._gate, self._assigned
        start = await self._claim(assigned)
        if gate != self._gate:
            return False
        for each in assigned:
            self._consumer.seek(TopicPartition(*each), start[each])
        self._consumer.resume(*(TopicPartition(*each) for each in assigned))
        self._open = True
        return True

    def rejoin(self) -> None:
        """Claim again before the next record, as after being fenced."""
        self._close()
        if self._assigned:
            self._consumer.pause(*(TopicPartition(*each) for each in self._assigned))

    def _close(self) -> None:
        self._gate += 1
        self._open = False

    def _take(self, assigned: Iterable[Any]) -> None:
        self._consumer.pause(*assigned)
        self._close()
        self._assigned = sorted((each.topic, each.partition) for each in assigned)
        self._changed.set()

    def _drop(self) -> None:
        self._close()
        self._assigned = None


class _Listener(ConsumerRebalanceListener):
    """Only pauses and closes the gate; see the module's docstring for why it must not do more."""

    def __init__(self, reader: GroupReader) -> None:
        self._reader = reader

    def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002
        self._reader._drop()  # pyright: ignore[reportPrivateUsage]

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._reader._take(assigned)  # pyright: ignore[reportPrivateUsage]
