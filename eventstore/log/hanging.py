"""Transactions that hang: over for their coordinator, open in a partition, so that nobody who reads committed records gets past them.

A coordinator sends the markers that end a transaction after it has said how it ended. Brokers of Kafka 4 that lost all replicas of a
partition at once, a single broker that was killed for one, take a partition whose leader is not elected again yet for a deleted one,
and leave it out: `KRaftMetadataCache.getPartitionLeaderEndpoint` tells them apart no more (3.9 did). The next marker of the same
producer then ends both transactions, so what was thought unwritten comes to light beside its repetition. ADR 0038.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from eventstore.errors import RefoldError, TimedOut
from eventstore.log.consumer import make_consumer, start_consumer
from eventstore.settings import KafkaSettings

AGAIN_S = 1.0
"""Seconds between two looks; a transaction that is merely not over yet is over by then, but for the largest."""


async def read_hanging(settings: KafkaSettings, topic: str, partitions: Iterable[int]) -> dict[int, bytes]:
    """Give the value of the first record of the transaction that hangs in a partition, by partition; mostly none.

    True only of *partitions* to which nobody but the caller writes, who has fenced the writer before and has nothing open: else a
    transaction is merely not over yet. Raises Unreachable, TimedOut.
    """
    async with _opened(settings) as (shown, stable):
        begun = await _find_open(settings, topic, partitions, shown, stable)
        try:
            async with asyncio.timeout(settings.request_timeout_s):
                return {each: await _read_one(shown, TopicPartition(topic, each), offset) for each, offset in begun.items()}
        except TimeoutError:
            raise TimedOut(
                f"what hangs in topic {topic} at {begun} could not be read in {settings.request_timeout_s:g} s"
            ) from None


@asynccontextmanager
async def watching(
    settings: KafkaSettings,
    topic: str,
    find_partitions: Callable[[], Iterable[int]],
    every_s: float,
    then: Callable[[], Awaitable[object]] | None = None,
) -> AsyncGenerator[asyncio.Event]:
    """Look now and then, beside the work inside of the block, and set the event when a transaction may hang; do *then* after each look.

    A look takes a tenth of a second, for which nothing that is to be published should wait.
    """
    suspected = asyncio.Event()

    async def watch() -> None:
        while True:
            await asyncio.sleep(every_s)
            if await _suspect(settings, topic, list(find_partitions())):
                suspected.set()
            if then is not None:
                await then()

    watcher = asyncio.create_task(watch())
    try:
        yield suspected
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)


async def _suspect(settings: KafkaSettings, topic: str, own: list[int]) -> bool:
    """Say whether a transaction is open in one of *own* that was a second ago; False, too, when Kafka can't say."""
    if not own:
        return False
    try:
        async with _opened(settings) as (shown, stable):
            before = await _find_open(settings, topic, own, shown, stable)
            if not before:
                return False
            await asyncio.sleep(AGAIN_S)
            after = await _find_open(settings, topic, own, shown, stable)
    except (KafkaError, RefoldError):
        return False
    return bool(before.items() & after.items())


@asynccontextmanager
async def _opened(settings: KafkaSettings) -> AsyncGenerator[tuple[Any, Any]]:
    """Lend a consumer that is shown everything and one that is shown what is over."""
    shown, stable = make_consumer(settings, None, bulk=False, committed=False), make_consumer(settings, None, bulk=False)
    try:
        await start_consumer(shown, settings)
        await start_consumer(stable, settings)
        yield shown, stable
    finally:
        await shown.stop()
        await stable.stop()


async def _find_open(settings: KafkaSettings, topic: str, partitions: Iterable[int], shown: Any, stable: Any) -> dict[int, int]:
    """Give the offset of the first record of an open transaction, by partition."""
    wanted = [TopicPartition(topic, each) for each in partitions]
    try:
        async with asyncio.timeout(settings.request_timeout_s):
            begins, ends = await stable.end_offsets(wanted), await shown.end_offsets(wanted)
    except TimeoutError:
        raise TimedOut(f"the ends of topic {topic} could not be read within {settings.request_timeout_s:g} s") from None
    return {each.partition: begins[each] for each in wanted if begins[each] < ends[each]}


async def _read_one(consumer: Any, partition: TopicPartition, offset: int) -> bytes:
    """Read the record at *offset*, where the last stable offset is: the first one of a transaction that is open."""
    consumer.assign([partition])
    consumer.seek(partition, offset)
    return (await consumer.getone(partition)).value
