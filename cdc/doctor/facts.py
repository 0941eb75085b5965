"""All that the checks judge, collected once for one connector. What could not be found out is None or empty, and gives no finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdc.change.drift import Drift
from cdc.check import Facts as Row
from cdc.connect.config import Names
from cdc.connect.declaration import Connector
from cdc.connect.state import ConnectorState
from cdc.plan.world import Topic


@dataclass(frozen=True, slots=True)
class Source:
    """What PostgreSQL says."""

    server: Row = field(hash=False)
    settings: Mapping[str, str] = field(hash=False)
    role: Row | None = field(hash=False)
    tables: Sequence[Row] = field(hash=False)
    columns: Sequence[Row] = field(hash=False)
    publication: Row | None = field(hash=False)
    slots: Sequence[Row] = field(hash=False)
    transactions: Sequence[Row] = field(default=(), hash=False)
    publications: Sequence[Row] = field(default=(), hash=False)
    signals: Row | None = field(default=None, hash=False)
    heartbeat: str = ""
    """What PostgreSQL says to the heartbeat's statement; empty when it takes it."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What Connect says. *plugins* gives each worker's version of Debezium's connector, None where it is missing."""

    version: str
    plugins: Mapping[str, str | None] = field(hash=False)
    connectors: Mapping[str, Mapping[str, str]] = field(hash=False)
    refused: Mapping[str, Sequence[str]] = field(hash=False)
    state: ConnectorState | None = None
    offsets: Sequence[Mapping[str, Any]] = field(default=(), hash=False)
    leftovers: Sequence[str] = field(default=(), hash=False)
    """Connectors that are gone and whose offsets are not."""
    exactly_once: bool = True


@dataclass(frozen=True, slots=True)
class Log:
    """What Kafka says. *proof* is why no message came through; empty when one did, None when none was sent."""

    topics: Mapping[str, Topic] = field(hash=False)
    internal: Mapping[str, Topic | None] = field(hash=False)
    brokers: int = 1
    proof: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """One connector, with the *config* that runs (*exists*), or that its declaration would give."""

    names: Names
    config: Mapping[str, str] = field(hash=False)
    exists: bool
    tables: Sequence[str] = field(hash=False)
    source: Source
    worker: Worker
    log: Log
    declared: Connector | None = None
    budget_bytes: int = 1 << 30
    drift: Sequence[tuple[str, Drift]] = field(default=(), hash=False)
    """What differs from the row classes that somebody named, by table."""

    @property
    def role(self) -> str:
        """The role that Debezium connects as."""
        return self.config.get("database.user", "postgres")

    @property
    def slot(self) -> Row | None:
        """Our slot, None when there is none."""
        return next((each for each in self.source.slots if each["slot_name"] == self.names.slot), None)

    def option(self, name: str, default: str) -> str:
        """Give an option as it stands, or Debezium's *default*."""
        return self.config.get(name) or default
