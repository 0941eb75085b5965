"""Records of the bank's log as the fold sees them, without a broker."""

from collections.abc import Iterable
from typing import NamedTuple

from eventstore.log.partitioner import partition_of
from tests.bank.log import Recorded

TOPIC = "bank.events"
TOPICS = {"events": TOPIC}


class Raw(NamedTuple):
    """One record of the log."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def lay_out(events: Iterable[Recorded], partitions: int = 1) -> dict[int, list[Raw]]:
    """Lay *events* out over partitions as the relay does."""
    log: dict[int, list[Raw]] = {each: [] for each in range(partitions)}
    for each in events:
        records = log[partition_of(each.stream, partitions)]
        partition = partition_of(each.stream, partitions)
        records.append(Raw(TOPIC, partition, len(records), 0, each.stream.encode(), each.document()))
    return log
