"""What is there: the facts that a plan is made from, as `cdc.survey` collects them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdc.check import Facts
from cdc.connect.state import ConnectorState


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: its partitions, its effective configuration, and how many partitions no longer begin at offset zero."""

    partitions: int
    config: Mapping[str, str] = field(hash=False)
    trimmed: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """The three places. *config* and *state* are None without a connector; *refused* are the errors of Connect's own check."""

    config: Mapping[str, str] | None = field(hash=False)
    state: ConnectorState | None
    offsets: Sequence[Mapping[str, Any]] = field(hash=False)
    refused: Mapping[str, Sequence[str]] = field(hash=False)
    server: Facts = field(hash=False)
    slot: Facts | None = field(hash=False)
    publication: Facts | None = field(hash=False)
    tables: Sequence[Facts] = field(hash=False)
    columns: Sequence[Facts] = field(hash=False)
    topics: Mapping[str, Topic] = field(hash=False)
    signal_table: Facts | None = field(default=None, hash=False)
    version: str = ""
