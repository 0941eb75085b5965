"""From append to visible: how long until what was recorded can be read, in stages, and beside a rebuild.

    python -m benchmarks.visible [--rate 300] [--seconds 10] [--events 200000] [--json]

Events are appended one at a time; relay, worker and writer are processes of their own. Twenty times a second a probe appends one event and
waits for its token as a web app does: `record` is the append, `log` until a consumer of the topic has it, `visible` until a session
does, each from the call of append. Then the same while the read model is rebuilt from all events so far.
Servers: those that `refold up` started, or the ones that REFOLD_* name. A database and topics of its own are made and dropped.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from aiokafka import TopicPartition

from benchmarks import ground
from benchmarks.transfers import app, make_any, percentiles, running, serve, start, transfers
from eventstore.codec import decode
from eventstore.log.consumer import make_consumer, start_consumer
from eventstore.postgres import migrate, open_engine
from eventstore.postgres.store import PostgresEventStore
from eventstore.settings import KafkaSettings
from projections.serving import ReadModels

EVERY_S = 0.05
APP = "benchmarks.transfers:app"


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


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure in peace, then beside a rebuild, then in peace again."""
    engine = open_engine()
    await migrate.migrate(engine)
    models = ReadModels(engine, app)
    async with PostgresEventStore.open(engine=engine) as store:
        chance = random.Random(1)
        await store.import_events(make_any(number, chance) for number in range(arguments.events))
        worker = ("projections", "run", "--app", APP)
        async with running(start("eventstore", "relay"), start(*worker)):
            await serve(store, models)
            async with running(start("benchmarks.transfers", "--rate", str(arguments.rate))):
                await follow_for(store, models, 2)
                before = await follow_for(store, models, arguments.seconds)
                until = asyncio.Event()
                beside = asyncio.create_task(follow(store, models, until))
                rebuilt = await asyncio.to_thread(ground.replay, "transfers", app=APP)
                until.set()
                during = await beside
                after = await follow_for(store, models, arguments.seconds)
    await engine.dispose()
    usual = percentiles(before.visible + after.visible)
    return {
        "before, ms": before.facts(),
        "beside a rebuild, ms": during.facts(),
        "after, ms": after.facts(),
        "beside / in peace": {name: during.facts()["visible"][name] / usual[name] for name in ("p50", "p99")},
        "rebuild, events/s": rebuilt["rate"],
        "rebuild, seconds": rebuilt["seconds"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with ground.opened_ground():
        os.environ["REFOLD_PROJECTIONS_LOOK_S"] = "0.2"
        found = asyncio.run(measure(arguments))
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        if not isinstance(value, dict):
            print(f"{name:22} {value:,.1f}")
            continue
        for stage, each in value.items():
            told = ", ".join(f"{key} {one:.1f}" for key, one in each.items()) if isinstance(each, dict) else f"{each:.2f}"
            print(f"{name:22} {stage:8} {told}")


if __name__ == "__main__":
    main()
