"""Transactions that a broker forgets to end in a partition (`eventstore.log.hanging`): no event is lost, repeated, or stays out of sight.

Killing a broker brings one about now and then (F13). Here a producer leaves a partition out of its transaction on purpose, on a broker
that does not look: then no marker comes for that partition, and all else is as after a restart.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.producer.transaction_manager import TransactionManager

from eventstore import KafkaSettings, PostgresSettings, RawEvent
from eventstore.log.partitioner import partition_of
from eventstore.log.producer import TransactionalProducer
from eventstore.postgres import PostgresEventStore, migrate, open_engine
from eventstore.relay import Relay
from eventstore.settings import RelaySettings
from tests.faults.brokers import Broker
from tests.faults.records import judge_log, read_records
from tests.stack.waiting import eventually

PARTITIONS = 6
ONE, OTHER = 0, 4
"""Two partitions of shard 0."""


def stream_in(partition: int) -> str:
    """Name a stream whose records go to *partition*."""
    return next(name for name in (f"s{number}" for number in range(1000)) if partition_of(name, PARTITIONS) == partition)


@pytest.fixture
async def kafka(broker: Broker, topic_prefix: str) -> AsyncIterator[KafkaSettings]:
    """Let the broker take records for partitions that a transaction does not know of."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.near)
    await admin.start()

    async def verify(value: str) -> None:
        configs = {"transaction.partition.verification.enable": value}
        answers = await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", configs=configs)])
        assert not any(code for answer in answers for code, *_ in answer.resources), answers

    await verify("false")
    yield broker.settings(topic_prefix).model_copy(update={"partitions": PARTITIONS, "request_timeout_s": 60.0})
    await verify("true")
    await admin.close()


@pytest.fixture
async def store(postgres_dsn: str) -> AsyncIterator[PostgresEventStore]:
    """Give an event store."""
    settings = PostgresSettings(dsn=postgres_dsn)
    engine = open_engine(settings)
    await migrate.migrate(engine)
    yield PostgresEventStore(engine, settings)
    await engine.dispose()


def forget(patch: pytest.MonkeyPatch, partitions: Iterable[int]) -> None:
    """Let transactions leave out *partitions*."""
    add = TransactionManager.maybe_add_partition_to_txn

    def skip(self, tp) -> None:
        if tp.partition not in partitions:
            add(self, tp)

    patch.setattr(TransactionManager, "maybe_add_partition_to_txn", skip)


async def drain(store: PostgresEventStore, kafka: KafkaSettings, events: int) -> None:
    """Relay all *events*, once nobody's open transaction keeps them back."""

    async def readable() -> bool:
        return await store.count() == events

    await eventually(readable, "events that may be read", 60)
    await Relay(store.engine, kafka).drain()


async def published(kafka: KafkaSettings) -> list[str]:
    """Give the streams' events that readers see."""
    return sorted(f"{each['subject']} {each['streamversion']}" for each in await read_records(kafka))


async def shows(kafka: KafkaSettings, *events: str) -> None:
    """Return once readers see exactly *events*: markers are written a moment after a commit."""

    async def are_seen() -> bool:
        return await published(kafka) == sorted(events)

    await eventually(are_seen, f"readers who see {', '.join(events)}")


async def test_half_a_transaction(kafka: KafkaSettings, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs beside a part that is committed is committed: its shard stands behind it, so nobody would publish it again."""
    one, other = stream_in(ONE), stream_in(OTHER)
    for stream in (one, other):
        await store.append(stream, [RawEvent("x", {})])
    await drain(store, kafka, 2)
    for stream in (other, one):
        await store.append(stream, [RawEvent("x", {})])
    with monkeypatch.context() as patch:
        forget(patch, [OTHER])
        patch.setattr("eventstore.relay.relay.note_stands", _note_nothing)
        await drain(store, kafka, 4)
    await shows(kafka, f"{one} 1", f"{one} 2", f"{other} 1")  # the other's second event hangs
    await drain(store, kafka, 4)
    await shows(kafka, f"{one} 1", f"{one} 2", f"{other} 1", f"{other} 2")


async def test_noted_transaction(kafka: KafkaSettings, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs and was published for all that the relay knew, and was noted, is committed."""
    with monkeypatch.context() as patch:
        forget(patch, [OTHER])
        await store.append(stream_in(ONE), [RawEvent("x", {})])
        await store.append(stream_in(OTHER), [RawEvent("x", {})])
        await drain(store, kafka, 2)
    await store.append(stream_in(ONE), [RawEvent("x", {})])
    await drain(store, kafka, 3)
    await shows(kafka, f"{stream_in(ONE)} 1", f"{stream_in(ONE)} 2", f"{stream_in(OTHER)} 1")


async def test_no_part_is_seen(kafka: KafkaSettings, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs and was never published for all that anybody can see is aborted, and published again, once."""
    other = stream_in(OTHER)
    await store.append(other, [RawEvent("x", {})])
    await drain(store, kafka, 1)
    await store.append(other, [RawEvent("x", {}), RawEvent("x", {})])
    with monkeypatch.context() as patch:
        forget(patch, [OTHER])
        patch.setattr("eventstore.relay.relay.note_stands", _note_nothing)
        await drain(store, kafka, 3)
    await shows(kafka, f"{other} 1")
    await store.append(other, [RawEvent("x", {})])
    await drain(store, kafka, 4)
    await shows(kafka, *(f"{other} {version}" for version in (1, 2, 3, 4)))
    assert await judge_log(store, kafka) == 4


async def test_heals_while_idle(kafka: KafkaSettings, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that goes on after its broker forgot a partition brings to light what hangs there, without a further event."""
    relay, stop = Relay(store.engine, kafka, RelaySettings(note_s=0.2)), asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    settled: list[bool] = []
    settle = TransactionalProducer.settle

    async def note(self: TransactionalProducer, partitions: Iterable[int], *, commit: bool) -> None:
        settled.append(commit)
        await settle(self, partitions, commit=commit)

    monkeypatch.setattr(TransactionalProducer, "settle", note)

    async def is_out() -> bool:
        assert not running.done(), running.exception()
        return len(await published(kafka)) == 1

    with monkeypatch.context() as patch:
        forget(patch, [OTHER])
        await store.append(stream_in(OTHER), [RawEvent("x", {})])
        await eventually(lambda: _has_published(relay), "an event that was published")
    await eventually(is_out, "an event that readers see")
    stop.set()
    await running
    assert (settled[-1], relay.progress.restarts) == (True, 0)


async def test_nobody_waits_for_a_look(kafka: KafkaSettings, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that looks whether anything hangs publishes on meanwhile, however long the look takes."""
    looking, stop = asyncio.Event(), asyncio.Event()

    async def never(*_: object) -> dict[int, int]:
        looking.set()
        await asyncio.Event().wait()
        return {}

    relay = Relay(store.engine, kafka, RelaySettings(note_s=0.01))
    running = asyncio.create_task(relay.run(stop))
    await store.append(stream_in(ONE), [RawEvent("x", {})])
    await eventually(lambda: _has_published(relay), "a relay at work")
    monkeypatch.setattr("eventstore.log.hanging._find_open", never)
    await asyncio.wait_for(looking.wait(), 60)
    await store.append(stream_in(ONE), [RawEvent("x", {})])
    await eventually(lambda: _has_published(relay, 2), "an event that was published", 60)
    stop.set()
    await asyncio.wait_for(running, 60)
    assert relay.progress.restarts == 0


async def _has_published(relay: Relay, events: int = 1) -> bool:
    return relay.progress.published == events


async def _note_nothing(*_: object) -> None:
    """Die before the note."""
