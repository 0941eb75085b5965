"""Transactions that hang: over for their coordinator, open in a partition, so that nobody who reads committed records gets past them.

A coordinator sends the markers that end a transaction after it has said how it ended. Brokers of Kafka 4 that lost all replicas of a
partition at once, a single broker that was killed for one, take a partition whose leader is not elected again yet for a deleted one,
and leave it out: `KRaftMetadataCache.getPartitionLeaderEndpoint` tells them apart no more (3.9 did). The next marker of the same
producer then ends both transactions, so what was thought unwritten comes to light beside its repetition. ADR 0038.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import TopicPartition

from eventstore.errors import TimedOut
from eventstore.log.consumer import make_consumer, start_consumer
from eventstore.settings import KafkaSettings


async def read_hanging(settings: KafkaSettings, topic: str, partitions: Iterable[int]) -> dict[int, bytes]:
    """Give the value of the first record of the transaction that hangs in a partition, by partition; mostly none.

    True only of *partitions* to which nobody but the caller writes, who has fenced the writer before and has nothing open: else a
    transaction is merely not over yet. Raises Unreachable, TimedOut.
    """
    wanted = [TopicPartition(topic, each) for each in partitions]
    shown, stable = make_consumer(settings, None, bulk=False, committed=False), make_consumer(settings, None, bulk=False)
    try:
        await start_consumer(shown, settings)
        await start_consumer(stable, settings)
        async with asyncio.timeout(settings.request_timeout_s):
            begins, ends = await stable.end_offsets(wanted), await shown.end_offsets(wanted)
            return {each.partition: await _read_one(shown, each, begins[each]) for each in wanted if begins[each] < ends[each]}
    except TimeoutError:
        raise TimedOut(f"the ends of topic {topic} could not be read within {settings.request_timeout_s:g} s") from None
    finally:
        await shown.stop()
        await stable.stop()


async def _read_one(consumer: Any, partition: TopicPartition, offset: int) -> bytes:
    """Read the record at *offset*, where the last stable offset is: the first one of a transaction that is open."""
    consumer.assign([partition])
    consumer.seek(partition, offset)
    return (await consumer.getone(partition)).value
