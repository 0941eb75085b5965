"""Single events followed from their append to where they can be read; for `benchmarks/visible.py` and a test."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from aiokafka import TopicPartition

from benchmarks.transfers import make_any, percentiles, transfers
from eventstore.codec import decode
from eventstore.log.consumer import make_consumer, start_consumer
from eventstore.postgres.store import PostgresEventStore
from eventstore.settings import KafkaSettings
from projections.serving import ReadModels

EVERY_S = 0.05


@dataclass
class Probes:
    """Milliseconds from the call of append, by stage."""

    record: list[float] = field(default_factory=list)
    log: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Give the percentiles of each stage."""
        return {name: percentiles(times) for name, times in vars(self).items() if times}


@contextlib.asynccontextmanager
async def listening(kafka: KafkaSettings) -> AsyncIterator[dict[int, asyncio.Future[float]]]:
    """Let a consumer at the end of the topic note when it gets the events whose ids are asked for."""
    wanted: dict[int, asyncio.Future[float]] = {}
    consumer = make_consumer(kafka, None, bulk=False)
    await start_consumer(consumer, kafka)
    partitions = [TopicPartition(kafka.events_topic, each) for each in range(kafka.partitions)]
    consumer.assign(partitions)
    await consumer.seek_to_end(*partitions)

    async def listen() -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                now = time.perf_counter()
                for each in records:
                    if found := wanted.pop(decode(each.value)["data"]["number"], None):
                        found.set_result(now)

    listener = asyncio.create_task(listen())
    try:
        yield wanted
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        await consumer.stop()


async def probe(store: PostgresEventStore, models: ReadModels, probes: Probes, wanted: dict[int, asyncio.Future[float]]) -> None:
    """Append one event that the listener recognises, and follow it."""
    stream, made = make_any(random.randrange(50), random.Random())
    made = replace(made, number=-random.randrange(1, 2**40))
    there = wanted[made.number] = asyncio.get_running_loop().create_future()
    began = time.perf_counter()
    token = await store.append(stream, [made])
    probes.record.append(1000 * (time.perf_counter() - began))
    await models.wait_for(token, transfers, timeout_s=60)
    probes.visible.append(1000 * (time.perf_counter() - began))
    probes.log.append(1000 * (await there - began))


async def follow(store: PostgresEventStore, models: ReadModels, until: asyncio.Event) -> Probes:
    """Send probes until *until* is set."""
    probes, tasks = Probes(), set[asyncio.Task[None]]()
    async with listening(KafkaSettings()) as wanted:
        while not until.is_set():
            task = asyncio.create_task(probe(store, models, probes, wanted))
            tasks.add(task)
            await asyncio.sleep(EVERY_S)
        await asyncio.gather(*tasks)
    return probes


async def follow_for(store: PostgresEventStore, models: ReadModels, seconds: float) -> Probes:
    """Send probes for so many *seconds*."""
    until = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, until.set)
    return await follow(store, models, until)
