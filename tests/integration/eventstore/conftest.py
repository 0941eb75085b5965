"""The store and the log of one test, on real servers."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import Position
from eventstore.log.admin import Admin
from eventstore.postgres import PostgresEventStore, checkout, migrate, open_engine
from eventstore.settings import KafkaSettings, PostgresSettings
from tests.stack.databases import Databases
from tests.stack.waiting import eventually


@pytest.fixture(scope="session")
def postgres_template(databases: Databases) -> str:
    """A migrated database, which each test's own one copies."""

    async def fill(dsn: str) -> None:
        engine = open_engine(PostgresSettings(dsn=SecretStr(dsn)))
        await migrate.migrate(engine)
        await engine.dispose()

    def run(dsn: str) -> None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(fill(dsn))

    return databases.make_template(f"template_eventstore_{os.getpid()}", run)


@pytest.fixture
def settings(postgres_dsn: str) -> PostgresSettings:
    return PostgresSettings(dsn=SecretStr(postgres_dsn), pool_size=40)


@pytest.fixture
async def engine(settings: PostgresSettings) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(settings, application="test")
    yield engine
    await engine.dispose()


@pytest.fixture
async def store(engine: AsyncEngine, settings: PostgresSettings) -> AsyncIterator[PostgresEventStore]:
    async with PostgresEventStore.open(settings, engine=engine) as store:
        yield store


@pytest.fixture
async def kafka(kafka_bootstrap: str, topic_prefix: str) -> AsyncIterator[KafkaSettings]:
    settings = KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix, partitions=3)
    yield settings
    async with Admin.open(settings) as admin:
        await admin.delete_topics(await admin.topics())


@pytest.fixture
def stored(engine: AsyncEngine) -> Callable[[], Awaitable[int]]:
    """Counts the stored events, readable in order or not (other databases of the server hold ordered readers back too)."""

    async def count() -> int:
        async with checkout(engine) as connection:
            row = await (await connection.execute("SELECT count(*) FROM eventstore.event")).fetchone()
            return row[0] if row else 0

    return count


@pytest.fixture
def readable(store: PostgresEventStore) -> Callable[[int], Awaitable[Position]]:
    """Waits until so many events are readable in order, and gives the head."""

    async def wait(events: int) -> Position:
        async def all_there() -> bool:
            return await store.count() == events

        await eventually(all_there, f"{events} readable events")
        return await store.head()

    return wait


@pytest.fixture
async def start(settings: PostgresSettings, kafka: KafkaSettings) -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """Start `eventstore relay` processes in small transactions, with more environment; kill what is left of them."""
    processes: list[Process] = []

    async def run(*arguments: str, **environment: str) -> Process:
        program = [sys.executable, "-c", "import sys; from eventstore.cli import main; sys.exit(main())", "relay", *arguments]
        environment = {
            **os.environ,
            "REFOLD_POSTGRES_DSN": settings.dsn.get_secret_value(),
            "REFOLD_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "REFOLD_KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "REFOLD_KAFKA_PARTITIONS": str(kafka.partitions),
            "REFOLD_RELAY_BATCH_EVENTS": "7",
            **environment,
        }
        processes.append(await asyncio.create_subprocess_exec(*program, env=environment, stdout=PIPE, stderr=PIPE))
        return processes[-1]

    yield run
    for each in processes:
        if each.returncode is None:
            each.kill()
        await each.communicate()
