"""Every implementation of a contract, by name."""

import pytest

from eventstore.postgres.snapshots import PostgresSnapshots
from eventstore.snapshot import Snapshots
from eventstore.store import EventStore
from eventstore.testing import MemoryEventStore, MemorySnapshots
from tests.integration.eventstore.conftest import engine, postgres_template, settings, store
from tests.stack.places import search_dir

__all__ = ["engine", "postgres_template", "search_dir", "settings", "store"]


@pytest.fixture(params=["memory", "postgres"])
def events(request: pytest.FixtureRequest) -> EventStore:
    """An empty event store."""
    return MemoryEventStore() if request.param == "memory" else request.getfixturevalue("store")


@pytest.fixture(params=["memory", "postgres"])
def kept(request: pytest.FixtureRequest) -> Snapshots:
    """An empty place for snapshots."""
    return MemorySnapshots() if request.param == "memory" else PostgresSnapshots(request.getfixturevalue("engine"))
