"""Changes of a captured table become events, each exactly once, through the real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest
from sqlalchemy.ext.asyncio import AsyncEngine

from cdc.cli import main
from cdc.translate.translator import Translator
from eventstore.errors import HistoryIncomplete, ProcessStuck
from eventstore.log.admin import Admin
from eventstore.moments import CRASHED
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.settings import KafkaSettings
from tests.integration.cdc.crm import Left, Moved, Registered, customers
from tests.integration.cdc.topic import Table
from tests.integration.eventstore.conftest import engine, kafka, postgres_template, settings, store
from tests.stack.forks import Child
from tests.stack.waiting import eventually

__all__ = ["engine", "kafka", "postgres_template", "settings", "store"]
APP = "tests.integration.cdc.crm:program"


@pytest.fixture
async def table(kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, postgres_dsn: str) -> AsyncIterator[Table]:
    """Give the topic of two partitions."""
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("REFOLD_KAFKA_TOPIC_PREFIX", kafka.topic_prefix)
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", postgres_dsn)
    topic = customers.source.topic(kafka)
    async with Admin.open(kafka) as admin:
        await admin.create_topic(topic, 2)
        await admin.wait_visible(topic)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    yield Table(producer, topic)
    await producer.stop()


async def read(store: PostgresEventStore, key: int) -> list[object]:
    """Give the events of one customer."""
    return [each.data async for each in store.read_stream(f"customer-{key}")]


async def run(**environment: str) -> tuple[int, str]:
    """Run `cdc translate --drain` as a program of its own."""
    child = Child("cdc.cli", ["translate", "--app", APP, "--drain"], {**os.environ, **environment})
    told, _ = await asyncio.to_thread(child.communicate)
    return child.wait(), told


async def evict(kafka: KafkaSettings) -> None:
    """Take the dead out of the translation's group, as the broker does after 10 s of silence."""
    group = f"{kafka.topic_prefix}.translate.customers"
    client: Any = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    try:
        node = await client.find_coordinator(group)
        [answer] = await client.describe_consumer_groups([group])
        [(_, _, _, _, _, members, *_)] = answer.groups
        for member, *_ in members:
            await client._send_request_to_node(node, LeaveGroupRequest(group, member))
    finally:
        await client.close()


async def test_events(store: PostgresEventStore, kafka: KafkaSettings, table: Table) -> None:
    """Changes become events of their row's stream with the time of their commit; running again records nothing."""
    await table.live(3)
    translator = Translator(store, customers, kafka)
    assert await translator.drain() == 3 * 3 + 1
    assert await read(store, 0) == [Registered("name 0"), Moved("Bonn"), Moved("Trier"), Left()]
    assert await read(store, 2) == [Registered("name 2"), Moved("Bonn"), Moved("Trier")]
    [first, *_] = [each async for each in store.read_stream("customer-1")]
    assert first.metadata["table"] == "public.customer"
    assert (first.occurred_at.year, first.id.version) == (2023, 8)
    assert await translator.drain() == 0


@pytest.mark.parametrize("moment", ["translate.before_commit", "translate.after_commit"])
async def test_killed(store: PostgresEventStore, kafka: KafkaSettings, table: Table, moment: str) -> None:
    """A translator that dies before or after its commit leaves the rest to the next one: nothing is lost, nothing is twice."""
    await table.live(4)
    code, told = await run(REFOLD_FAIL_AT=moment)
    assert code == CRASHED, told
    await evict(kafka)
    code, told = await run()
    assert (code, "events recorded" in told) == (0, True), told
    for key in range(1, 4):
        assert await read(store, key) == [Registered(f"name {key}"), Moved("Bonn"), Moved("Trier")]


async def test_repeated(store: PostgresEventStore, kafka: KafkaSettings, table: Table, engine: AsyncEngine) -> None:
    """Changes that come again, in other batches or with a lost checkpoint, are known by their ids."""
    await table.write("c", 1, "Ada", "Bonn", lsn=10)
    await Translator(store, customers, kafka).drain()
    await table.write("c", 1, "Ada", "Bonn", lsn=10)
    await table.write("u", 1, "Ada", "Trier", lsn=20)
    await table.write("u", 1, "Ada", "Trier", lsn=20)
    await Translator(store, customers, kafka).drain()
    async with checkout(engine) as connection:
        await connection.execute("UPDATE eventstore.translation SET next_offset = 0")
    await table.write("u", 1, "Ada", "Mainz", lsn=30)
    assert await Translator(store, customers, kafka).drain() == 1
    assert await read(store, 1) == [Registered("Ada"), Moved("Bonn"), Moved("Trier"), Moved("Mainz")]


async def test_stuck(store: PostgresEventStore, kafka: KafkaSettings, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    """A change that can't be translated is stood still before, with what came earlier recorded; a person may pass over it."""
    await table.write("c", 1, "Ada", "Bonn")
    await table.write("u", 1, "Ada", "Nowhere")
    await table.write("u", 1, "Ada", "Trier")
    with pytest.raises(ProcessStuck, match=r"offset 1: ValueError: there is no such city.*--skip customers"):
        await Translator(store, customers, kafka).drain()
    assert await read(store, 1) == [Registered("Ada"), Moved("Bonn")]
    assert await asyncio.to_thread(main, ["translate", "--list"]) == 0
    assert "stands still: ValueError" in capsys.readouterr().out
    assert await asyncio.to_thread(main, ["translate", "--skip", "customers"]) == 0
    assert await Translator(store, customers, kafka).drain() == 1
    assert (await read(store, 1))[-1] == Moved("Trier")
    assert await asyncio.to_thread(main, ["translate", "--skip", "customers"]) == 2


async def test_fenced(store: PostgresEventStore, kafka: KafkaSettings, table: Table, engine: AsyncEngine) -> None:
    """A translator whose partitions were claimed by somebody else records nothing under its old claim, and claims again."""
    translator, stop = Translator(store, customers, kafka), asyncio.Event()
    running = asyncio.create_task(translator.run(stop))
    await table.write("c", 1, "Ada", "Bonn")
    await eventually(lambda: said(store, 1, 2), "the first customer", 60)
    async with checkout(engine) as connection:
        await connection.execute("UPDATE eventstore.translation SET epoch = epoch + 1")
    await table.write("u", 1, "Ada", "Trier")
    await eventually(lambda: said(store, 1, 3), "the move", 60)
    stop.set()
    await running
    assert await read(store, 1) == [Registered("Ada"), Moved("Bonn"), Moved("Trier")]


async def said(store: PostgresEventStore, key: int, count: int) -> bool:
    """Tell whether a customer has so many events."""
    return len(await read(store, key)) >= count


async def test_topic_anew(store: PostgresEventStore, kafka: KafkaSettings, table: Table, engine: AsyncEngine) -> None:
    """A topic that was made anew since is refused: its offsets mean something else."""
    await table.write("c", 1, "Ada", "Bonn")
    await Translator(store, customers, kafka).drain()
    async with checkout(engine) as connection:
        await connection.execute("UPDATE eventstore.translation SET topic_id = gen_random_uuid()")
    with pytest.raises(HistoryIncomplete, match="made anew"):
        await Translator(store, customers, kafka).drain()
