"""A Kafka consumer that never guesses: what the readers by assignment and by group have in common.

Neither falls back to a default offset: where to start comes from the caller's checkpoint, and an offset that the log does not
have is an error, never a silent jump. Whole fetches are drained, because leftovers stall the broker's connection for 100 ms.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError, KafkaError, OffsetOutOfRangeError

from eventstore.errors import HistoryIncomplete
from eventstore.log.client import connect_options, diagnose
from eventstore.settings import KafkaSettings
from eventstore.source import Record

LogError = KafkaError
"""What Kafka's client raises when it can't go on; make the reader anew."""
Partition = tuple[str, int]
Batch = dict[Partition, Sequence[Record]]


class Membership(NamedTuple):
    """How a reader belongs to its group.

    *instance*: its name for life, so that it comes back within *session_s* without a rebalance (None = whoever joins is new);
    *session_s*: seconds of silence after which the group goes on without it; *max_poll_s*: seconds that it may work on one batch.
    """

    instance: str | None = None
    session_s: float = 10.0
    max_poll_s: float = 300.0


def make_consumer(
    settings: KafkaSettings, group: str | None, *, bulk: bool, membership: Membership | None = None, committed: bool = True
) -> Any:
    """Make an unstarted consumer; *bulk* asks for large fetches (replay), otherwise for prompt ones (live).

    One that is not for *committed* records alone is shown open and aborted ones too.
    """
    chosen = membership or Membership()
    return AIOKafkaConsumer(
        **connect_options(settings),
        group_id=group,
        group_instance_id=chosen.instance,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed" if committed else "read_uncommitted",
        fetch_max_bytes=32 << 20,
        max_partition_fetch_bytes=(512 << 10) if bulk else (256 << 10),
        fetch_max_wait_ms=100 if bulk else 50,
        fetch_min_bytes=(64 << 10) if bulk else 1,
        session_timeout_ms=int(chosen.session_s * 1000),
        heartbeat_interval_ms=int(min(1.0, chosen.session_s / 4) * 1000),
        max_poll_interval_ms=int(chosen.max_poll_s * 1000),
        rebalance_timeout_ms=20_000,
        metadata_max_age_ms=30_000,
        check_crcs=True,
    )


async def start_consumer(consumer: Any, settings: KafkaSettings) -> None:
    """Connect, or close it again. Raises Unreachable with the address when no broker answers."""
    try:
        await consumer.start()
    except BaseException as error:
        await consumer.stop()
        if isinstance(error, KafkaConnectionError):
            raise await diagnose(settings, error) from error
        raise


class Reader:
    """What both readers share: polling, positions, ends, and telling Kafka about the progress."""

    def __init__(self, settings: KafkaSettings, group: str, *, bulk: bool, membership: Membership | None = None) -> None:
        self.settings = settings
        self.group = group
        self._consumer: Any = make_consumer(settings, group, bulk=bulk, membership=membership)

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
