"""A source database, a declared connector on the real Connect, and its topics as changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from cdc.cli import main
from cdc.connect.client import ConnectClient
from cdc.connect.settings import ConnectSettings
from cdc.steer import Target, teardown_connector
from eventstore.settings import KafkaSettings


class Source:
    """The captured database and how to run `cdc` against it."""

    def __init__(self, dsn: str, kafka: KafkaSettings, connect: ConnectSettings, folder: Path) -> None:
        self.dsn, self.kafka, self.connect, self.folder = dsn, kafka, connect, folder
        self.sql = psycopg.connect(dsn, autocommit=True)
        self.sql.execute("set timezone = 'UTC'")
        self.name = f"{kafka.topic_prefix}.operations"
        self.slot = f"{kafka.topic_prefix}_operations"

    def declare(self, *tables: str, extra: str = "", options: str = "") -> Path:
        """Write the connector's TOML file."""
        password = self.sql.info.password
        if password:
            (self.folder / "password").write_text(password, encoding="utf-8")
            extra += '\npassword_file = "password"'
        info = self.sql.info
        path = self.folder / "operations.toml"
        path.write_text(
            f'[connector]\nname = "operations"\ndsn = "postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}"\n'
            f"tables = [{', '.join(repr(table) for table in tables)}]\n{extra}\n[options]\n{options}\n",
            encoding="utf-8",
        )
        return path

    async def run(self, *arguments: object) -> int:
        """Run the program `cdc` and give its exit code."""
        return await asyncio.to_thread(main, [str(argument) for argument in arguments])

    def read_slot(self) -> object:
        """Give the slot's state, None when there is no slot."""
        query = "select active, confirmed_flush_lsn from pg_replication_slots where slot_name = %s"
        return self.sql.execute(query, (self.slot,)).fetchone()


@pytest.fixture
async def source(
    postgres_dsn: str, connect_url: str, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Source]:
    """Give a fresh database; the connector declared on it is torn down afterwards."""
    monkeypatch.setenv("REFOLD_CONNECT_URL", connect_url)
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("REFOLD_KAFKA_TOPIC_PREFIX", topic_prefix)
    connect = ConnectSettings(url=connect_url)
    source = Source(postgres_dsn, KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix), connect, tmp_path)
    yield source
    async with ConnectClient(connect) as client:
        await teardown_connector(client, Target(source.name, source.slot, postgres_dsn), time.monotonic() + 120, lambda _: None)
    source.sql.close()


Reading = Callable[[object, int], Awaitable[list]]


@pytest.fixture
async def read(source: Source) -> AsyncIterator[Reading]:
    """Give a function that reads a captured table's topic from its start until *count* records came."""
    consumers: list[AIOKafkaConsumer] = []

    async def read(table, count: int) -> list:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=source.kafka.bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        consumers.append(consumer)
        await consumer.start()
        topic = TopicPartition(table.topic(source.kafka), 0)
        consumer.assign([topic])
        await consumer.seek_to_beginning(topic)
        decode = table.reader(frozenset(table.messages))
        messages: list = []
        async with asyncio.timeout(60):
            while len(messages) < count:
                records = (await consumer.getmany(topic, timeout_ms=500)).get(topic, [])
                messages += [decode(record) for record in records]
        return messages

    yield read
    for consumer in consumers:
        await consumer.stop()
