"""The relay while its servers are killed and come back (F09, F13)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from pydantic import SecretStr

from compose.stack import Stack
from eventstore import KafkaSettings, PostgresSettings, RawEvent
from eventstore.codec import decode
from eventstore.errors import Unreachable
from eventstore.log.admin import Admin
from eventstore.log.bounds import find_bounds
from eventstore.log.consumer import make_consumer, start_consumer
from eventstore.postgres import PostgresEventStore, migrate, open_engine
from eventstore.relay import Relay
from tests.faults.brokers import Broker
from tests.stack.plugin import own_settings
from tests.stack.waiting import eventually


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Stack]:
    """Give a PostgreSQL and a broker that this test may kill."""
    stack = Stack(own_settings(tmp_path / "stack"), print)
    yield stack
    stack.down(wipe=True)


async def kill(servers: Stack, name: str) -> None:
    """End a server as `kill -9` does."""
    process = servers.server(name).child.process()  # pyright: ignore[reportArgumentType]
    assert process is not None
    process.kill()
    await asyncio.to_thread(process.wait)


async def published_ids(kafka: KafkaSettings) -> list[str]:
    """Read the ids of all committed records."""
    bounds, ends = await find_bounds(kafka, [(kafka.events_topic, each) for each in range(kafka.partitions)])
    wanted = {TopicPartition(*each): end for each, end in ends.items() if end > bounds[each]}
    consumer = make_consumer(kafka, None, bulk=True)
    await start_consumer(consumer, kafka)
    consumer.assign(list(wanted))
    for each in wanted:
        consumer.seek(each, 0)
    found: list[str] = []
    while any([await consumer.position(each) < end for each, end in wanted.items()]):
        for records in (await consumer.getmany(timeout_ms=100)).values():
            found += [decode(record.value)["id"] for record in records]
    await consumer.stop()
    return found


async def test_relay_survives_its_servers(servers: Stack) -> None:
    """A relay whose broker and whose database are killed with SIGKILL goes on by itself; every event is published once."""
    up = await asyncio.to_thread(servers.up, "postgres", "kafka")
    kafka = KafkaSettings(bootstrap=up.kafka_bootstrap, topic_prefix="faults", partitions=3, request_timeout_s=10)
    settings = PostgresSettings(dsn=SecretStr(up.postgres_dsn))
    engine = open_engine(settings)
    await migrate.migrate(engine)
    async with PostgresEventStore.open(settings, engine=engine) as store:
        relay, stop = Relay(engine, kafka), asyncio.Event()
        running = asyncio.create_task(relay.run(stop))
        sent = 0

        async def append(events: int) -> None:
            nonlocal sent
            for each in range(events):
                await store.append(f"s{each % 7}", [RawEvent("x", {"n": sent})])
                sent += 1

        async def all_published() -> bool:
            assert not running.done(), running.exception()
            return relay.progress.position >= await store.head() and await store.count() == sent

        await append(30)
        await eventually(all_published, "30 published events", 60)
        for name in ("kafka", "postgres"):
            await kill(servers, name)
            if name == "kafka":
                await append(30)
            await asyncio.to_thread(servers.up, name)
            await append(30)
            await eventually(all_published, f"all {sent} events published after {name} came back", 60)
        assert relay.progress.restarts > 0
        stop.set()
        await running
        stored = sorted([str(each.id) async for each in store.read_all(decoded=False)])
    await engine.dispose()
    assert len(stored) == sent == 120
    assert sorted(await published_ids(kafka)) == stored


async def test_unanswered_request(broker: Broker, topic_prefix: str) -> None:
    """A request for a topic that a stopped broker never answers is Unreachable, which relays wait out, and not a bare time-out (F14)."""
    settings = broker.settings(topic_prefix).model_copy(update={"request_timeout_s": 1.0})
    with pytest.raises(Unreachable, match=r"not answered within 1 s"):
        async with Admin.open(settings) as admin, broker.stopped():
            await admin.create_topic(settings.events_topic, 1)
