"""The relay while its servers are killed and come back (F09, F13)."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

import eventstore.log.producer
from eventstore import RawEvent
from eventstore.errors import Unreachable
from eventstore.log.admin import Admin
from eventstore.log.producer import TransactionalProducer
from eventstore.log.topics import ensure_events_topic
from eventstore.relay import Relay
from tests.faults.brokers import Broker
from tests.faults.clusters import Cluster
from tests.faults.records import judge_log
from tests.stack.waiting import eventually

Make = Callable[..., Awaitable[Cluster]]
# Clients whose broker is killed leave requests of aiokafka behind that nobody awaits.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


async def test_relay_survives_its_servers(broker: Broker, cluster: Make, topic_prefix: str) -> None:
    """A relay whose broker and whose database are killed with SIGKILL goes on by itself; every event is published once (F09, F13)."""
    server, kafka = await cluster(), broker.settings(topic_prefix)
    async with server.store() as store:
        relay, stop = Relay(store.engine, kafka), asyncio.Event()
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
        await asyncio.gather(broker.kill(), append(60))
        await eventually(all_published, "all events published after the broker came back", 60)
        await server.stop(signal.SIGKILL)
        await server.up()
        await append(30)
        await eventually(all_published, "all events published after PostgreSQL came back", 60)
        assert relay.progress.restarts > 0
        stop.set()
        await running
        assert await judge_log(store, kafka) == sent == 120


async def test_unanswered_request(broker: Broker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for a topic that a stopped broker never answers is Unreachable, which relays wait out, and not a bare time-out (F14)."""
    settings = broker.settings(topic_prefix).model_copy(update={"request_timeout_s": 60.0})

    async def ask() -> None:
        async with Admin.open(settings) as admin:
            await admin.topics()
            connected.append(admin)
            monkeypatch.setattr(admin._client._client, "_request_timeout_ms", 1000)
            for each in admin._client._client._conns.values():
                monkeypatch.setattr(each, "_request_timeout", 1.0)
            async with broker.stopped():
                await admin.create_topic(settings.events_topic, 1)

    connected: list[Admin] = []
    with pytest.raises(Unreachable, match="does not answer"):
        await ask()
    assert connected, "it answered before"


async def test_nothing_stays_behind(broker: Broker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that gives up on a stopped broker leaves neither a task nor a request that would wait for it on (F14)."""
    monkeypatch.setattr(eventstore.log.producer, "_CLOSE_S", 0.5)
    settings = broker.settings(topic_prefix).model_copy(update={"request_timeout_s": 60.0})
    await ensure_events_topic(settings)
    before = asyncio.all_tasks()
    producer = TransactionalProducer(settings, settings.events_topic, f"{topic_prefix}.writer")
    await producer.start()
    await producer.publish([(0, b"a", b"{}", 0)])
    monkeypatch.setattr(producer, "_settings", settings.model_copy(update={"request_timeout_s": 1.0}))
    async with broker.stopped():
        with pytest.raises(Unreachable):
            await producer.publish([(0, b"a", b"{}", 0)])
        await producer.close()

        async def gone() -> bool:
            return asyncio.all_tasks() <= before

        await eventually(gone, "no task of the writer")
