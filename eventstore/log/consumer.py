"""Reading topics: by assignment (one reader owns what it names) or by consumer group behind a gate.

Both never fall back to a default offset: where to start comes from the caller's checkpoint, and an offset that the log does not
have is an error, never a silent jump. Whole fetches are drained, because leftovers stall the broker's connection for 100 ms.

aiokafka publishes an assignment before its listener runs, goes on fetching from Kafka's own committed offsets meanwhile, and
swallows what a listener raises. Hence the gate of `GroupReader`: the listener only pauses and closes the gate; the reader's own
loop claims the checkpoint, seeks and opens it, so that a failure there is raised where somebody hears it. Source: ADR 0004.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from eventstore.errors import HistoryIncomplete, PreconditionFailed, Unreachable
from eventstore.log.fetch import fetch
from eventstore.settings import KafkaSettings
from eventstore.source import Record

LogError = KafkaError
"""What Kafka's client raises when it can't go on; make the reader anew."""
Partition = tuple[str, int]
Batch = dict[Partition, Sequence[Record]]


def make_consumer(settings: KafkaSettings, group: str | None, *, bulk: bool, instance: str | None = None) -> Any:
    """Make an unstarted consumer; *bulk* asks for large fetches (replay), otherwise for prompt ones (live)."""
    return AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap,
        group_id=group,
        group_instance_id=instance,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        request_timeout_ms=int(settings.request_timeout_s * 1000),
        fetch_max_bytes=32 << 20,
        max_partition_fetch_bytes=(512 << 10) if bulk else (256 << 10),
        fetch_max_wait_ms=100 if bulk else 50,
        fetch_min_bytes=(64 << 10) if bulk else 1,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=1_000,
        max_poll_interval_ms=300_000,
        rebalance_timeout_ms=20_000,
        metadata_max_age_ms=30_000,
        check_crcs=not bulk,
    )


async def start_consumer(consumer: Any, settings: KafkaSettings) -> None:
    """Connect. Raises Unreachable with the address when no broker answers."""
    try:
        await consumer.start()
    except KafkaConnectionError as error:
        await consumer.stop()
        raise Unreachable(
            f"Kafka at {settings.bootstrap} does not answer: {error}. Start it (`refold up`) or set REFOLD_KAFKA_BOOTSTRAP.",
            bootstrap=settings.bootstrap,
        ) from error


class _Reader:
    """What both readers share: polling, positions, ends, and telling Kafka about the progress."""

    def __init__(self, settings: KafkaSettings, group: str, *, bulk: bool, instance: str | None = None) -> None:
        self.settings = settings
        self.group = group
        self._consumer: Any = make_consumer(settings, group, bulk=bulk, instance=instance)

    async def close(self) -> None:
        """Leave; safe to repeat."""
        await self._consumer.stop()

    async def _poll(self, timeout_s: float) -> Batch:
        try:
            return await self._fetch(timeout_s)
        except OffsetOutOfRangeError as error:
            raise HistoryIncomplete(
                f"the log no longer has offset {error.args[0] if error.args else '?'} that the checkpoint of group {self.group} needs: "
                "the topic was truncated or made anew. Rebuild with `replay --projection … --from-beginning`."
            ) from error

    async def _fetch(self, timeout_s: float) -> Batch:
        fetched = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000))
        return {(each.topic, each.partition): records for each, records in fetched.items()}

    async def seen(self) -> dict[Partition, int]:
        """Give how far each assigned partition was read, transaction markers included."""
        found: dict[Partition, int] = {}
        for each in self._consumer.assignment():
            with contextlib.suppress(IllegalStateError):
                found[each.topic, each.partition] = await self._consumer.position(each)
        return found

    async def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Give the end of the committed log of each partition."""
        wanted = [TopicPartition(*each) for each in partitions]
        ends = await self._consumer.end_offsets(wanted)
        return {(each.topic, each.partition): offset for each, offset in ends.items()}

    async def tell_progress(self, offsets: Mapping[Partition, int]) -> None:
        """Commit *offsets* to Kafka for lag tools; never read back, so a failure is only a missed report."""
        if offsets:
            with contextlib.suppress(KafkaError):
                await self._consumer.commit({TopicPartition(*each): offset for each, offset in offsets.items()})


class AssignedReader(_Reader):
    """Reads exactly the partitions it is told to, from exactly the offsets it is told: a replay's reader.

    `limit` bounds it: records at or past a partition's limit are not given, and are read again when the limit is lifted.
    """

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        super().__init__(settings, group, bulk=True)
        self._limit: dict[Partition, int] = {}

    async def open(self, start: Mapping[Partition, int]) -> None:
        """Connect and take up *start*."""
        await start_consumer(self._consumer, self.settings)
        self._consumer.assign([TopicPartition(*each) for each in start])
        self.seek(start)

    async def _fetch(self, timeout_s: float) -> Batch:
        return dict(await fetch(self._consumer, timeout_s))

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Go on from *offsets*; what was fetched from elsewhere is dropped."""
        for each, offset in offsets.items():
            self._consumer.seek(TopicPartition(*each), offset)

    def limit(self, offsets: Mapping[Partition, int] | None) -> None:
        """Give no record at or past *offsets* from now on (None = no limit). No limit may lie before what was already given."""
        self._consumer.resume(*self._consumer.assignment())
        self._limit = dict(offsets or {})

    async def poll(self, timeout_s: float) -> Batch:
        """Give what was fetched, in order per partition; empty after *timeout_s* seconds without records."""
        batch = await self._poll(timeout_s)
        if not self._limit:
            return batch
        return {each: kept for each, records in batch.items() if (kept := self._cut(each, records))}

    def _cut(self, partition: Partition, records: Sequence[Record]) -> Sequence[Record]:
        limit = self._limit.get(partition)
        if limit is None or records[-1].offset < limit:
            return records
        self._consumer.seek(TopicPartition(*partition), limit)
        self._consumer.pause(TopicPartition(*partition))
        return [each for each in records if each.offset < limit]


Claiming = Callable[[list[Partition]], Awaitable[Mapping[Partition, int]]]


class GroupReader(_Reader):
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


async def find_partitions(settings: KafkaSettings, topics: Sequence[str]) -> dict[str, int]:
    """Give each topic's number of partitions. Raises PreconditionFailed that names the topics which do not exist."""
    consumer = make_consumer(settings, None, bulk=False)
    await start_consumer(consumer, settings)
    try:
        cluster = await consumer._client.fetch_all_metadata()
        known = {each: len(cluster.partitions_for_topic(each) or ()) for each in topics}
    finally:
        await consumer.stop()
    missing = [each for each in topics if not known.get(each)]
    if missing:
        raise PreconditionFailed(
            f"topic {', '.join(missing)} does not exist on {settings.bootstrap}: start `eventstore relay` for events, "
            "`cdc apply` for captured tables, and check REFOLD_KAFKA_TOPIC_PREFIX",
            missing=missing,
        )
    return known


async def find_bounds(
    settings: KafkaSettings, partitions: Iterable[Partition]
) -> tuple[dict[Partition, int], dict[Partition, int]]:
    """Give the first and the end offset of each partition."""
    consumer = make_consumer(settings, None, bulk=False)
    await start_consumer(consumer, settings)
    try:
        wanted = [TopicPartition(*each) for each in partitions]
        first, end = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
    finally:
        await consumer.stop()
    return {(p.topic, p.partition): o for p, o in first.items()}, {(p.topic, p.partition): o for p, o in end.items()}
