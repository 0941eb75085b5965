"""The pytest fixtures that prove a projection deterministic; loading them imports nothing of ours until one is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from projections.chaos import Chaos


@pytest.fixture
def chaos() -> type[Chaos]:
    """Make a schedule: `chaos(projection, seed=7).run(events)` gives the rows by table and key."""
    from projections.chaos import Chaos

    return Chaos


@pytest.fixture
def replay_equals() -> Callable[..., str]:
    """Assert that `replay_equals(projection, events)` gives the same rows under many schedules, and give their digest."""
    from projections.chaos import require_equal

    return require_equal
