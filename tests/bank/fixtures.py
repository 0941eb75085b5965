"""Fixtures of the bank; a folder's conftest takes them over by name."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log.admin import Admin
from eventstore.postgres.engine import open_engine
from eventstore.postgres.migrate import migrate
from eventstore.settings import KafkaSettings, PostgresSettings
from tests.bank.log import Ledger, Log
from tests.bank.runs import Runs
from tests.stack.databases import Databases


@pytest.fixture(scope="session")
def postgres_template(databases: Databases) -> Iterator[str]:
    """Give a database that has this release's schema."""

    async def fill(dsn: str) -> None:
        engine = open_engine(PostgresSettings(dsn=SecretStr(dsn)))
        await migrate(engine)
        await engine.dispose()

    name = databases.make_template(f"bank_{os.getpid()}", lambda dsn: asyncio.run(fill(dsn)))
    yield name
    databases.drop(name)


@pytest.fixture
async def engine(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncEngine]:
    """Open an engine on this test's migrated database."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", postgres_dsn)
    engine = open_engine(PostgresSettings(pool_size=30), application="test")
    yield engine
    await engine.dispose()


@pytest.fixture
def kafka(kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    """Give the settings of this test's topics, in the environment too."""
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("REFOLD_KAFKA_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("REFOLD_KAFKA_PARTITIONS", "4")
    return KafkaSettings()


@pytest.fixture(scope="session")
async def used_topics(kafka_bootstrap: str) -> AsyncIterator[list[str]]:
    """Collect the session's topics and delete them at its end in one go, which saves a second a test."""
    names: list[str] = []
    yield names
    async with Admin.open(KafkaSettings(bootstrap=kafka_bootstrap)) as admin:
        await admin.delete_topics(names)


@pytest.fixture
async def log(kafka: KafkaSettings, used_topics: list[str]) -> AsyncIterator[Log]:
    """Open the events topic of this test."""
    used_topics.append(kafka.events_topic)
    async with Log.open(kafka) as log:
        yield log


@pytest.fixture
def ledger() -> Ledger:
    """Make this test's events and remember them."""
    return Ledger()


@pytest.fixture
def runs(
    engine: AsyncEngine,
    kafka: KafkaSettings,
    postgres_dsn: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Runs:
    """Give the bank, ready to run."""
    monkeypatch.setenv("REFOLD_REPLAY_HANDOVER_S", "0")
    monkeypatch.setenv("REFOLD_REPLAY_NICE", "0")  # replays run in threads of the tests' own process
    monkeypatch.setenv("REFOLD_PROJECTIONS_LOOK_S", "0.05")
    return Runs(engine, kafka, postgres_dsn, capsys)
