"""Reading by consumer group, behind a gate.

aiokafka publishes an assignment before its listener runs, goes on fetching from Kafka's own committed offsets meanwhile, and
swallows what a listener raises. Hence the gate: the listener only pauses and closes it; the reader's own loop claims the
checkpoint, seeks and opens it, so that a failure there is raised where somebody hears it. Source: ADR 0004.

Nobody claims without the broker's word that it is a member of the group's present generation: a worker that slept through its
eviction would take the partitions from their new owner, who would take them back, and so on until the sleeper hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError

from eventstore.log.backlog import Backlog
from eventstore.log.consumer import Batch, Membership, Partition, Reader, start_consumer
from eventstore.log.identity import find_topic_ids
from eventstore.settings import KafkaSettings

Claiming = Callable[[list[Partition]], Awaitable[Mapping[Partition, int]]]
ALL = 1 << 62


class GroupReader(Reader):
    """Reads what the consumer group assigns, starting where *claim* says, and never hands out a record of an older assignment.

    What a fetch brought is handed out *most_bytes* at a time, and nothing more is fetched until all of it was: two fetches at most
    are ever in memory.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        topics: Sequence[str],
        claim: Claiming,
        *,
        membership: Membership | None = None,
        most_bytes: int = ALL,
    ) -> None:
        super().__init__(settings, group, bulk=False, membership=membership)
        self._topics = list(topics)
        self._claim = claim
        self._most_bytes = most_bytes
        self._backlog = Backlog()
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

    async def topic_ids(self) -> dict[str, UUID]:
        """Give Kafka's ids of the topics as they are now. Raises KafkaError when no broker answers."""
        return await find_topic_ids(self._consumer._client, self._topics)

    async def seen(self) -> dict[Partition, int]:
        """Give how far each assigned partition was handed out, transaction markers included."""
        return {**await super().seen(), **self._backlog.first_offsets()}

    async def poll(self, timeout_s: float, most_records: int = ALL) -> Batch:
        """Give what was fetched under the present assignment; empty after *timeout_s* seconds, and while there is none."""
        if not self._open and not await self._enter(timeout_s):
            return {}
        gate = self._gate
        try:
            batch = await self._poll(0 if self._backlog else timeout_s)  # a reader that does not poll is thought dead
        except NoOffsetForPartitionError:
            if gate == self._gate and self._open:
                raise
            return {}
        if gate != self._gate or not self._open:
            return {}
        return self._hand_out(batch, most_records)

    def _hand_out(self, fetched: Batch, most_records: int) -> Batch:
        waited = bool(self._backlog)
        if not waited:
            self._backlog.put(fetched)
        batch = self._backlog.take(most_records, self._most_bytes)
        if bool(self._backlog) != waited:
            change = self._consumer.pause if self._backlog else self._consumer.resume
            change(*(TopicPartition(*each) for each in self.assigned))
        return batch

    async def _enter(self, timeout_s: float) -> bool:
        self._consumer._coordinator.check_errors()
        with self._consumer._subscription.fetch_context():
            pass  # a sign of life: aiokafka joins no group again for a reader that left it for being slow, until it polls
        if self._assigned is None:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), timeout_s)
        if self._assigned is None:
            return False
        gate, assigned = self._gate, self._assigned
        if not await self._is_member(timeout_s) or gate != self._gate:
            return False
        start = await self._claim(assigned)
        if gate != self._gate:
            return False
        for each in assigned:
            self._consumer.seek(TopicPartition(*each), start[each])
        self._consumer.resume(*(TopicPartition(*each) for each in assigned))
        self._open = True
        return True

    async def _is_member(self, timeout_s: float) -> bool:
        """Ask the group's coordinator whether this reader belongs to the present generation; not so = it is about to join again."""
        coordinator = self._consumer._coordinator
        try:
            known = await coordinator._do_heartbeat()
        except KafkaError:
            known = False
        if known and not coordinator._rejoin_needed_fut.done():
            return True
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        return False

    def rejoin(self) -> None:
        """Claim again before the next record, as after being fenced, if this reader is still a member of its group."""
        self._close()
        if self._assigned:
            self._consumer.pause(*(TopicPartition(*each) for each in self._assigned))

    def _close(self) -> None:
        self._gate += 1
        self._open = False
        self._backlog.clear()

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
