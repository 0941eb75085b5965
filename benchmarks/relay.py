"""The relay, in turns in one run: throughput, time from append to topic, and what waking it by NOTIFY would cost.

    python -m benchmarks.relay [--events 200000] [--rounds 3] [--seconds 4] [--rate 500]

The relay whose latency is measured is `eventstore relay`, a process of its own as in real life; writers and consumer share another.

Servers: those that `refold up` started, or the ones that REFOLD_* name. A scratch database and topics are made and dropped.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator

import psycopg
import uvloop
from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.accounts import make_events
from benchmarks.transfers import running, start
from eventstore import KafkaSettings, PostgresSettings, RawEvent
from eventstore.codec import decode
from eventstore.console import tune_collector
from eventstore.log.admin import Admin
from eventstore.log.consumer import make_consumer, start_consumer
from eventstore.postgres import PostgresEventStore, open_engine
from eventstore.postgres.scratch import make_scratch
from eventstore.relay import Relay

APPEND = 'SELECT * FROM eventstore.append_v1(%s, -1, ARRAY[gen_random_uuid()], \'[{"t": "x", "v": 1, "d": {"n": 1}}]\')'
TELL = "CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('events', ''); RETURN NULL; END $$"
WAKE = "CREATE TRIGGER tell AFTER INSERT ON eventstore.event FOR EACH STATEMENT EXECUTE FUNCTION public.tell()"
WRITERS = 8
WARM_S = 1.0


@contextlib.asynccontextmanager
async def fresh_topic() -> AsyncIterator[KafkaSettings]:
    """Give settings under a prefix of their own; the topics are deleted afterwards."""
    kafka = KafkaSettings().model_copy(update={"topic_prefix": f"bench{uuid.uuid4().hex[:8]}"})
    yield kafka
    async with Admin.open(kafka) as admin:
        await admin.delete_topics(await admin.topics())


async def measure_drain(engine: AsyncEngine) -> float:
    """Give the events a second of one relay that has everything to do."""
    async with fresh_topic() as kafka:
        started = time.perf_counter()
        done = await Relay(engine, kafka).drain()
        return done.published / (time.perf_counter() - started)


async def measure_latency(engine: AsyncEngine, dsn: str, rate: float, seconds: float) -> list[float]:
    """Give the milliseconds from the call of append to the record in a consumer's hands, at *rate* appends a second; *dsn* is the store's.

    A second of the same load comes first and does not count: connections are opened in it, plans and segments are made.
    """
    sent: dict[int, float] = {}
    taken: list[float] = []
    async with fresh_topic() as kafka, PostgresEventStore.open(engine=engine) as store:
        await Relay(engine, kafka).drain()
        relaying = start("eventstore", "relay", REFOLD_POSTGRES_DSN=dsn, REFOLD_KAFKA_TOPIC_PREFIX=kafka.topic_prefix)
        consumer = make_consumer(kafka, None, bulk=False)
        await start_consumer(consumer, kafka)
        partitions = [TopicPartition(kafka.events_topic, each) for each in range(kafka.partitions)]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        for each in partitions:
            consumer.seek(each, ends[each])
        warm = round(rate * WARM_S)
        total = warm + round(rate * seconds)

        async def write() -> None:
            began = time.perf_counter()
            appends = set[asyncio.Task[object]]()
            for number in range(total):
                await asyncio.sleep(max(0, began + number / rate - time.perf_counter()))
                sent[number] = time.perf_counter()
                appends.add(asyncio.create_task(store.append(f"latency-{number % 997}", [RawEvent("moved", {"n": number})])))
            await asyncio.gather(*appends)

        async with running(relaying):
            await store.append("latency-first", [RawEvent("moved", {"n": 0})])
            while not await consumer.getmany(timeout_ms=50):
                pass  # the relay starts
            writing = asyncio.create_task(write())
            while len(taken) < total:
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    now = time.perf_counter()
                    taken += [1000 * (now - sent[decode(record.value)["data"]["n"]]) for record in records]
            await writing
        await consumer.stop()
    return sorted(taken[warm:])


async def measure_writers(dsn: str, seconds: float, *, tell: bool = False) -> float:
    """Give the appends a second of eight writers; *tell* = each sends a NOTIFY of its own after its commit."""
    deadline, count = time.perf_counter() + seconds, 0

    async def write(number: int) -> None:
        nonlocal count
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            while time.perf_counter() < deadline:
                await connection.execute(APPEND, (f"writer-{number}",))
                if tell:
                    await connection.execute("NOTIFY events")
                count += 1

    await asyncio.gather(*map(write, range(WRITERS)))
    return count / seconds


async def measure_waking(dsn: str, seconds: float) -> dict[str, float]:
    """Give the appends a second of eight writers under each way to wake a relay, and while events are announced for Debezium."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        rates = {"appends, polled": await measure_writers(dsn, seconds)}
        rates["appends, NOTIFY after commit"] = await measure_writers(dsn, seconds, tell=True)
        owner.execute(WAKE)
        rates["appends, NOTIFY inside"] = await measure_writers(dsn, seconds)
        owner.execute("DROP TRIGGER tell ON eventstore.event")
        owner.execute("SELECT eventstore.open_route_v1('bench', 'bench')")
        rates["appends, announced"] = await measure_writers(dsn, seconds)
        owner.execute("SELECT eventstore.close_route_v1()")
        while not owner.execute("SELECT eventstore.settle_route_v1() IS NOT NULL").fetchone()[0]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return rates


async def measure_round(settings: PostgresSettings, arguments: argparse.Namespace) -> dict[str, float]:
    """Measure everything once."""
    engine = open_engine(settings)
    rates = {"relayed": await measure_drain(engine)}
    taken = await measure_latency(engine, settings.dsn.get_secret_value(), arguments.rate, arguments.seconds)
    rates |= {"latency p50, ms": taken[len(taken) // 2], "latency p99, ms": taken[len(taken) * 99 // 100]}
    await engine.dispose()
    return rates | await measure_waking(settings.dsn.get_secret_value(), arguments.seconds)


async def measure(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Take turns, so that a slow moment of the machine meets everyone."""
    rates: dict[str, list[float]] = {}
    async with make_scratch() as settings:
        engine = open_engine(settings)
        async with PostgresEventStore.open(engine=engine) as store:
            await store.import_events(make_events(arguments.events))
        await engine.dispose()
        with psycopg.connect(settings.dsn.get_secret_value(), autocommit=True) as owner:
            owner.execute(TELL)
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
            for name, rate in (await measure_round(settings, arguments)).items():
                rates.setdefault(name, []).append(rate)
    return rates


def main() -> None:
    """Measure, and print each figure's median beside its rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    tune_collector()
    rates = uvloop.run(measure(arguments))
    if arguments.json:
        print(json.dumps(rates))
        return
    for name, found in rates.items():
        print(f"{name:32} {statistics.median(found):12,.1f}   ({', '.join(f'{each:,.1f}' for each in found)})")


if __name__ == "__main__":
    main()
