"""Servers of a test's own."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from eventstore import KafkaSettings
from eventstore.log.admin import Admin
from tests.faults.brokers import Broker, running
from tests.faults.clusters import Cluster

Make = Callable[..., Awaitable[Cluster]]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Make]:
    """Start a PostgreSQL at every call, with options for postgresql.conf; all end with the test."""
    made: list[Cluster] = []

    async def start(**options: str) -> Cluster:
        made.append(Cluster(tmp_path / f"cluster{len(made)}", **options))
        await made[-1].up()
        return made[-1]

    yield start
    for each in made:
        await each.end()


@pytest.fixture
async def kafka(kafka_bootstrap: str, topic_prefix: str) -> AsyncIterator[KafkaSettings]:
    """Give the settings of this test's topics, which are deleted afterwards."""
    settings = KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix, partitions=3)
    yield settings
    async with Admin.open(settings) as admin:
        await admin.delete_topics(await admin.topics())


@pytest.fixture(scope="session")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Broker]:
    """Run a broker that tests share, may kill, stop and cut off, and leave well each time."""
    async with running(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(autouse=True)
def leftovers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect what the clients of a killed broker leave behind while this test is still the one to blame for it."""
    yield
    if "broker" in request.fixturenames:
        gc.collect()
