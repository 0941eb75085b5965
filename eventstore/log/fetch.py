"""Draining aiokafka's fetched batches without its per-record dataclass: about three times as many records per second.

aiokafka parses batches in C at millions of records a second, then wraps each record in a dataclass by a generator; that
wrapping is most of the cost of consuming. `drain` walks the same fetched batches under the same rules (aborted transactions and
control batches are passed over, records before the position are skipped) and
makes none of its own before somebody looks at one. It reads private state of
aiokafka 0.14, to which the dependency is pinned, and a contract test compares it with `getmany` record by record.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, overload

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import CorruptRecordException

_BATCH: Any = FetchResult
_offset = attrgetter("offset")


class LogRecord(NamedTuple):
    """One record; implements `eventstore.source.Record`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Records(Sequence[LogRecord]):
    """Records of one partition, in order, that are made when they are looked at; a slice is another such view.

    *raws* are aiokafka's own: offset, timestamp, key, value and headers without topic and partition. A fold that reads only
    values walks them, which saves half the cost of consuming.
    """

    __slots__ = ("partition", "raws", "topic")

    def __init__(self, topic: str, partition: int, raws: list[Any]) -> None:
        self.topic = topic
        self.partition = partition
        self.raws = raws

    def __len__(self) -> int:
        return len(self.raws)

    @overload
    def __getitem__(self, index: int) -> LogRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> LogRecord | Records:
        if isinstance(index, slice):
            return Records(self.topic, self.partition, self.raws[index])
        return self._make(self.raws[index])

    def __iter__(self) -> Iterator[LogRecord]:
        return map(self._make, self.raws)

    def before(self, offset: int) -> Records:
        """Give those below *offset*."""
        return self[: bisect_left(self.raws, offset, key=_offset)]

    def _make(self, raw: Any) -> LogRecord:
        return LogRecord(self.topic, self.partition, raw.offset, raw.timestamp, raw.key, raw.value, raw.headers)


async def fetch(consumer: Any, timeout_s: float) -> dict[tuple[str, int], Records]:
    """Give all that was fetched for an assigned *consumer*, waiting up to *timeout_s* seconds for the first record.

    Raises what the fetch met: OffsetOutOfRangeError, CorruptRecordException and the like.
    """
    fetcher = consumer._fetcher
    with consumer._subscription.fetch_context():
        batch = drain(fetcher)
        if batch:
            return batch
        waiter = fetcher._create_fetch_waiter()
        done, _ = await asyncio.wait([waiter], timeout=timeout_s)
        if not done:
            waiter.cancel()
            return {}
        waiter.result()
        return drain(fetcher)


def drain(fetcher: Any) -> dict[tuple[str, int], Records]:
    """Take every fetched batch out of *fetcher* and let it fetch on."""
    batch: dict[tuple[str, int], Records] = {}
    for partition, result in list(fetcher._records.items()):
        is_batch = type(result) is _BATCH
        if batch and not is_batch:
            break
        del fetcher._records[partition]
        fetcher._notify(fetcher._wait_consume_future)
        if not is_batch:
            result.check_raise()
        elif result.check_assignment(partition) and (records := _unpack(result, partition.topic, partition.partition)):
            batch[partition.topic, partition.partition] = records
    return batch


def _unpack(result: Any, topic: str, partition: int) -> Records:
    source: Any = result._partition_records
    batches: Any = source._records
    found: list[Any] = []
    position: int = source.next_fetch_offset
    while batches.has_next():
        batch = batches.next_batch()
        if source._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(
                f"{topic}[{partition}] has a batch whose checksum is wrong at offset {batch.base_offset}"
            )
        if not _is_skipped(source, batch):
            found += batch if batch.base_offset >= position else [each for each in batch if each.offset >= position]
        position = batch.next_offset
    source.next_fetch_offset = max(position, source.next_fetch_offset)
    result._update_position()
    result._partition_records = None
    return Records(topic, partition, found)


def _is_skipped(source: Any, batch: Any) -> bool:
    """Say whether *batch* holds no data for us: a transaction's marker, or records of one that was aborted."""
    if source._isolation_level == READ_COMMITTED and batch.producer_id is not None:
        source._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and source._contains_abort_marker(batch):
            source._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in source._aborted_producers:
            return True
    return bool(batch.is_control_batch)
