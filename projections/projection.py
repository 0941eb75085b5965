"""What a projection is: a name, a version, its tables, and pure handlers. It knows nothing of Kafka or PostgreSQL servers.

A handler gets an event (or a change) and the row under its key, or None, and gives back the row to keep, or None to delete it.
It must be pure and deterministic, and right for every interleaving of *different* streams: only the order within a stream is
given.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from eventstore.errors import UsageError
from eventstore.event import registry as events
from eventstore.log.events import DocumentSource, EventSource
from eventstore.source import Source
from projections.aggregate import Aggregate
from projections.grouping import By, Grouping, group
from projections.table import Table, snake

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
_NAME = re.compile(r"^[a-z][a-z0-9-]{0,38}$")
EVENTS = EventSource()
DOCUMENTS = DocumentSource(EVENTS)


@dataclass(frozen=True, slots=True)
class Handler:
    """One function: which messages of which source reach it, and under which row key.

    *key* None = the message's own key (the stream, the changed row's primary key). *detailed* = it takes the envelope too.
    *adds* = it makes rows of its own and sees none.
    """

    table: Table[Any]
    source: Source
    message: str
    function: Callable[..., Any]
    key: Callable[[Any], Any] | None
    detailed: bool
    adds: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A user's own test of a rebuilt generation: a query that must give no row, each row being one violation."""

    name: str
    query: Callable[[], sa.Select[Any]]


class Projection:
    """A read model's definition. *name* is kebab-case and stays for life; raise *version* whenever its meaning changes."""

    def __init__(self, name: str, *, version: int = 1) -> None:
        if not _NAME.match(name) or version < 1:
            raise UsageError(f"projection {name!r} version {version}: use up to 39 of a-z, 0-9 and '-', and a version from 1")
        self.name = name
        self.version = version
        self.slug = snake(name)
        self.metadata = sa.MetaData(schema=self.slug)
        self.tables: list[RowTable[Any]] = []
        self.handlers: list[Handler] = []
        self.checks: list[Check] = []

    def __repr__(self) -> str:
        return f"Projection({self.name!r}, version={self.version})"

    def table(
        self,
        row: type[R],
        *,
        key: str | Sequence[str],
        name: str | None = None,
        indexes: Sequence[Sequence[str]] = (),
        tenant: str | None = None,
    ) -> RowTable[R]:
        """Declare a table of *row*s, unique by *key*; *indexes* are built last when the projection is rebuilt.

        *tenant* names the column that holds the tenant of the event's stream: it becomes the first part of the key by itself, so
        handlers and key functions give the rest, and readers see the rows of the tenant that they act for.
        """
        called = name or snake(row.__name__)
        if any(each.name == called for each in self.tables):
            raise UsageError(f"projection {self.name!r} has two tables called {called!r}: give one a name=")
        made = RowTable(self, row, key=key, name=called, indexes=indexes, tenant=tenant)
        self.tables.append(made)
        return made

    def aggregate(
        self,
        *kinds: type,
        by: By = None,
        name: str,
        indexes: Sequence[Sequence[str]] = (),
        **aggregates: Aggregate,
    ) -> RowTable[Any]:
        """Declare a table of aggregates over events of *kinds*, a row for each value of *by*; its handler is derived.

        *by*: a field, an expression such as `Day("placed_at")`, several of them, or column names with either; without it the key is
        the stream's name. An event with None in its key belongs to no group. A projection all of whose tables are declared so is
        rebuilt from an archive column by column. Raises UsageError for fields that no event has or that can't be aggregated.
        """
        grouping = group(name, kinds, by, aggregates)
        row: type[Any] = grouping.row
        made = self.table(row, key=grouping.columns, name=name, indexes=indexes)
        made.derive(grouping)
        return made

    def check(self, function: Callable[[], sa.Select[Any]]) -> Callable[[], sa.Select[Any]]:
        """Declare a check that a rebuilt generation must pass before it goes live: *function* selects what is wrong."""
        self.checks.append(Check(function.__name__, function))
        return function

    @property
    def has_personal(self) -> bool:
        """True when a handler takes events with personal fields."""
        return EVENTS.has_personal(self.wanted(EVENTS))

    @property
    def has_tenants(self) -> bool:
        """True when a table holds the rows of several tenants."""
        return any(each.tenant for each in self.tables)

    @property
    def sources(self) -> list[Source]:
        """The sources its handlers read, each once, by name."""
        return sorted({each.source.name: each.source for each in self.handlers}.values(), key=lambda each: each.name)

    def wanted(self, source: Source) -> frozenset[str]:
        """Give the message names of *source* that some handler takes."""
        return frozenset(each.message for each in self.handlers if each.source.name == source.name)

    def owns(self, table: Table[Any]) -> bool:
        """Say whether each row of *table* is only ever written by one partition's owner, so that no lock is needed."""
        mine = [each for each in self.handlers if each.table is table]
        return all(each.key is None or each.adds for each in mine) and len({each.source.name for each in mine}) <= 1


class RowTable(Table[R], Generic[R]):
    """A projection's table, and where its handlers are declared."""

    def __init__(
        self,
        projection: Projection,
        row: type[R],
        *,
        key: str | Sequence[str],
        name: str | None,
        indexes: Sequence[Sequence[str]],
        tenant: str | None,
    ) -> None:
        super().__init__(row, key=key, metadata=projection.metadata, name=name, indexes=indexes, tenant=tenant)
        self.projection = projection
        self.grouping: Grouping | None = None

    def on(self, *kinds: type, key: Callable[[Any], Any] | None = None) -> Callable[[F], F]:
        """Handle events of *kinds*: `handler(event, row)`, or `(event, row, envelope)`, gives the row to keep, None = delete.

        *key* gives the row's key from the event: a value, or a tuple in the order of the table's key. Without it the key is the
        stream's name, and partitions never touch each other's rows, which is faster.
        """

        def declare(function: F) -> F:
            for kind in kinds:
                self._add(EVENTS, events.of(kind).name, function, key)
            return function

        return declare

    def derive(self, grouping: Grouping) -> None:
        """Let the rows be what *grouping* declares."""
        self.grouping = grouping
        handler, key = grouping.make_handler(), grouping.make_key()
        for kind in grouping.kinds:
            self._add(DOCUMENTS, events.of(kind).name, handler, key)

    def add(self, *kinds: type) -> Callable[[F], F]:
        """Add rows for events of *kinds*: `handler(event)`, or `(event, envelope)`, gives a row, a list of rows, or None.

        For tables whose rows never change, such as a ledger: nothing is looked up and nothing is kept in memory, which is the
        fastest way there is. Each row needs a key of its own; an event whose row's key is taken is parked. A table takes
        either adding handlers or changing ones.
        """

        def declare(function: F) -> F:
            for kind in kinds:
                self._add(EVENTS, events.of(kind).name, function, adds=True)
            return function

        return declare

    def on_change(self, source: Source, *, key: Callable[[Any], Any] | None = None) -> Callable[[F], F]:
        """Handle changes of a captured table: `handler(change, row)` gives the row to keep, None = delete.

        Without *key* the row's key is the changed row's primary key.
        """

        def declare(function: F) -> F:
            for message in sorted(source.messages):
                self._add(source, message, function, key)
            return function

        return declare

    def _add(
        self,
        source: Source,
        message: str,
        function: Callable[..., Any],
        key: Callable[[Any], Any] | None = None,
        *,
        adds: bool = False,
    ) -> None:
        parameters, fewest = len(inspect.signature(function).parameters), 1 if adds else 2
        if parameters not in {fewest, fewest + 1}:
            takes = "(event) or (event, envelope)" if adds else "(event, row) or (event, row, envelope)"
            raise UsageError(f"{function.__qualname__} takes {parameters} parameters; a handler of this kind takes {takes}")
        if adds and self.tenant:
            raise UsageError(f"table {self.name!r} has tenants: its rows are written under their tenant's key, which takes on")
        if any(each.adds != adds for each in self.projection.handlers if each.table is self):
            raise UsageError(
                f"table {self.name!r} has both add and on handlers: rows that are added are never changed; use on for all"
            )
        self.projection.handlers.append(Handler(self, source, message, function, key, parameters > fewest, adds))
