"""Old event versions read as new ones, by a chain of small pure functions.

Each upcaster turns the data of version n into the data of version n + 1. The chain runs wherever events are decoded: reads
from the store, the Kafka path, replays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class Versioned(Protocol):
    """What `upgrade` must know of an event type."""

    name: str
    version: int

    @property
    def upcasters(self) -> Mapping[int, Upcaster]:
        """The functions by the version that they start from."""
        ...


def upgrade(kind: Versioned, data: dict[str, Any], version: int) -> dict[str, Any]:
    """Lift *data* from *version* to the newest version of *kind*.

    Raises ValueError when *version* is newer than this code or a step of the chain is missing; the caller names the event.
    """
    if version > kind.version:
        raise ValueError(f"version {version} is newer than this release's {kind.version}: deploy the newer code first")
    for step in range(version, kind.version):
        try:
            lift = kind.upcasters[step]
        except KeyError:
            raise ValueError(f"no upcaster from version {step} to {step + 1}") from None
        data = lift(data)
    return data
