"""The pytest plugin: fixtures for tests of a domain. Loading it imports pytest and nothing of ours until a fixture is used.

A fixture of the same name in a test module or conftest takes the place of one of these, as with any plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.testing import Clock, MemoryEventStore, MemorySnapshots


@pytest.fixture
def subject() -> Any:
    """Refuse: what `given` is about is yours to say, by a fixture `subject` that returns a Decider, Process or Projection."""
    raise pytest.UsageError(
        "`given` needs to know what is tested: define a fixture `subject` that returns a Decider, a Process or a Projection"
    )


@pytest.fixture
def given(subject: Any) -> Callable[..., Any]:
    """Begin a scenario of *subject*: `given(*events).when(command).then(*events)`."""
    from eventstore.testing.scenario import given_for

    return given_for(subject)


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still until `clock.advance(timedelta(...))`."""
    from eventstore.testing.clock import Clock

    return Clock()


@pytest.fixture
def event_store(clock: Clock) -> MemoryEventStore:
    """Give an empty event store in memory, whose events are recorded at the time of *clock*."""
    from eventstore.testing.memory import MemoryEventStore

    return MemoryEventStore(clock)


@pytest.fixture
def snapshots() -> MemorySnapshots:
    """Give an empty place for snapshots, in memory."""
    from eventstore.testing.memory import MemorySnapshots

    return MemorySnapshots()
