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
from datetime import datetime
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from eventstore.errors import UsageError
from eventstore.event import registry as events
from eventstore.log.events import DocumentSource, EventSource
from eventstore.source import OrderedSource, Source
from projections.declaration.aggregate import Aggregate
from projections.declaration.effect import NOW, Effect, declare_effect
from projections.declaration.emission import DerivedSource, Emission, Emitter
from projections.declaration.grouping import By, Grouping, group
from projections.declaration.join import Join, declare_join
from projections.declaration.sink import Place, Sink
from projections.declaration.table import Table, snake
from projections.order.mark import Mark, name_marks

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
P = TypeVar("P", bound=Place)
_NAME = re.compile(r"^[a-z][a-z0-9-]{0,38}$")
RESERVED = frozenset({"eventstore", "projections", "privacy", "public", "information_schema"})
"""Schemas that no projection may call its own."""
EVENTS = EventSource()
DOCUMENTS = DocumentSource(EVENTS)


@dataclass(frozen=True, slots=True)
class Handler:
    """One function: which messages of which source reach it, and under which row key.

    *key* None = the message's own key (the stream, the changed row's primary key). *detailed* = it takes the envelope too.
    *adds* = it makes rows of its own and sees none. *spans* = it takes all messages of a key that a batch has, as a list.
    """

    table: Table[Any]
    source: Source
    message: str
    function: Callable[..., Any]
    key: Callable[[Any], Any] | None
    detailed: bool
    adds: bool = False
    spans: bool = False


@dataclass(frozen=True, slots=True)
class SqlHandler:
    """One function that writes by SQL of its own: which messages of which source reach it, one by one or *batch* by batch.

    *detailed* = it takes the envelope too. *apart* = rows of two partitions never meet in it.
    """

    source: Source
    message: str
    function: Callable[..., Any]
    batch: bool
    detailed: bool
    apart: bool


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
        if self.slug in RESERVED:
            raise UsageError(
                f"projection {name!r}: schema {self.slug} belongs to others, and its views would lie there; choose another name"
            )
        self.metadata = sa.MetaData(schema=self.slug)
        self.tables: list[RowTable[Any]] = []
        self.handlers: list[Handler] = []
        self.sql_handlers: list[SqlHandler] = []
        self.effects: list[Effect] = []
        self.checks: list[Check] = []
        self.sinks: list[Sink[Any, Place]] = []
        self.emissions: list[Emission] = []
        self.derived = DerivedSource(name)
        self.joins: list[Join] = []

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

    def sql(self, *kinds: type | Source, apart: bool = False) -> Callable[[F], F]:
        """Handle messages by SQL: `handler(connection, event)`, or `(connection, event, envelope)`, writes what it likes.

        *kinds* are event types and captured tables (their handler gets the change). The connection is SQLAlchemy's, inside of the
        transaction that moves the checkpoint; it reaches the tables of this projection that have no other handlers, under their bare
        names, and nothing else. *apart*: no two streams ever write the same row, so that workers need not wait for each other.
        """
        return self._declare_sql(kinds, batch=False, apart=apart)

    def sql_batch(self, *kinds: type | Source, apart: bool = False) -> Callable[[F], F]:
        """Do the same for many messages at once: `handler(connection, envelopes)`, in their order; of captured tables, the changes.

        How messages are cut into batches must make no difference. A record that spoils a batch is tried alone, and parked.
        """
        return self._declare_sql(kinds, batch=True, apart=apart)

    def _declare_sql(self, kinds: Sequence[Any], *, batch: bool, apart: bool) -> Callable[[F], F]:
        def declare(function: F) -> F:
            parameters = len(inspect.signature(function).parameters)
            if inspect.iscoroutinefunction(function) or parameters not in ({2} if batch else {2, 3}):
                takes = "(connection, envelopes)" if batch else "(connection, event) or (connection, event, envelope)"
                raise UsageError(f"{function.__qualname__}: an SQL handler is a plain function that takes {takes}")
            for each in kinds:
                source = EVENTS if isinstance(each, type) else each
                for name in [events.of(each).name] if source is EVENTS else sorted(source.messages):
                    self.sql_handlers.append(SqlHandler(source, name, function, batch, batch or parameters > 2, apart))
            return function

        return declare

    @property
    def all_handlers(self) -> list[Handler | SqlHandler]:
        """Every handler, of whatever kind."""
        return [*self.handlers, *self.sql_handlers]

    @property
    def free_tables(self) -> list[RowTable[Any]]:
        """The tables that SQL handlers write: those without handlers of their own."""
        owned = {each.table.name for each in self.handlers}
        return [each for each in self.tables if each.name not in owned] if self.sql_handlers else []

    def effect(self, *kinds: type, name: str | None = None, begin: str | datetime = NOW) -> Callable[[F], F]:
        """Declare what is done outside when an event was applied: `function(event)`, or `(event, attempt)`, plain or async.

        It is called at least once for each event from *begin* on, which counts when a live worker first meets the effect: "now", the
        "beginning", or a time; a rebuild calls nothing. What it returns is kept as JSON. An error is retried, then the effect is dead
        until somebody decides (`projections effects`). *name* stays for life; by default it is the function's.
        """

        def declare(function: F) -> F:
            made = declare_effect(name, EVENTS, frozenset(events.of(each).name for each in kinds), function, begin)
            if any(each.name == made.name for each in self.effects):
                raise UsageError(f"projection {self.name!r} has two effects called {made.name!r}: give one a name=")
            self.effects.append(made)
            return function

        return declare

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
        """The sources its handlers and effects read, each once, by name."""
        found = [each.source for each in self.all_handlers] + [each.source for each in self.effects]
        return sorted({each.name: each for each in found}.values(), key=lambda each: each.name)

    @property
    def marks(self) -> dict[str, Table[Mark]]:
        """The tables, by source, in which the fold itself keeps what it has seen of each ordered source; readers never see them."""
        hidden = sa.MetaData(schema=self.slug)
        ordered = [each.name for each in self.sources if isinstance(each, OrderedSource)]
        return {each: Table(Mark, key="key", metadata=hidden, name=name_marks(each)) for each in ordered}

    def wanted(self, source: Source) -> frozenset[str]:
        """Give the message names of *source* that some handler takes."""
        return frozenset(each.message for each in self.all_handlers if each.source.name == source.name)

    def owns(self, table: Table[Any]) -> bool:
        """Say whether each row of *table* is only ever written by one partition's owner, so that no lock is needed."""
        mine = [each for each in self.handlers if each.table is table]
        if any(table in (each.table, each.past) for each in self.joins):
            return False
        if not mine:
            return all(each.apart for each in self.sql_handlers)
        return all(each.key is None or each.adds for each in mine) and len({each.source.name for each in mine}) <= 1


class RowTable(Table[R], Emitter, Generic[R]):
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

    def on(self, *kinds: type, key: Callable[[Any], Any] | None = None, of: Projection | None = None) -> Callable[[F], F]:
        """Handle events of *kinds*: `handler(event, row)`, or `(event, row, envelope)`, gives the row to keep, None = delete.

        *key* gives the row's key from the event: a value, or a tuple in the order of the table's key. Without it the key is the
        stream's name, and partitions never touch each other's rows, which is faster. *of*: events that this projection derives.
        """

        def declare(function: F) -> F:
            for kind in kinds:
                self._add(of.derived if of else EVENTS, events.of(kind).name, function, key)
            return function

        return declare

    def into(self, place: P) -> Sink[R, P]:
        """Keep a copy of the rows in *place* too, level with this table; give what readers name it by."""
        sink = Sink(self, place)
        sink.check()
        if any(each.table is self and each.place.kind == place.kind for each in self.projection.sinks):
            raise UsageError(f"table {self.name!r} has a copy in {place.kind} already")
        self.projection.sinks.append(sink)
        return sink

    def join(self, past: RowTable[Any], *, on: str | Sequence[str], at: str, sets: str | Sequence[str]) -> Callable[[F], F]:
        """Complete each row with what *past* said at the row's own time: `function(row, version)` gives the columns *sets*.

        *past* is a table of versions of this projection, the last column of its key being the time from which one holds. The row's
        columns *on* name the key, its column *at* the time. The function gets the newest version that is not newer, None = nothing
        was known yet, and gives a value, or a tuple of them; it runs again whenever the row changes or a version comes, however late.
        Handlers find None in the columns *sets*.
        """
        make = declare_join(self, past, on, at, sets)

        def declare(function: F) -> F:
            made = make(function)
            index = (*made.on, made.at)
            if index not in [tuple(column.name for column in each.columns) for each in self.indexes]:
                self.indexes.append(sa.Index(f"{self.name}_{'_'.join(index)}", *(self.table.c[each] for each in index)))
            self.projection.joins.append(made)
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

    def spans(self, *kinds: type, key: Callable[[Any], Any] | None = None) -> Callable[[F], F]:
        """Handle all events of a key that a batch has, at once: `handler(events, row)`, or `(events, row, envelopes)`.

        They come in their order, and how they are cut into lists must make no difference. It is a table's only handler.
        """

        def declare(function: F) -> F:
            for kind in kinds:
                self._add(EVENTS, events.of(kind).name, function, key, spans=True)
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
        spans: bool = False,
    ) -> None:
        parameters, fewest = len(inspect.signature(function).parameters), 1 if adds else 2
        if parameters not in {fewest, fewest + 1}:
            takes = "(event) or (event, envelope)" if adds else "(event, row) or (event, row, envelope)"
            takes = "(events, row) or (events, row, envelopes)" if spans else takes
            raise UsageError(f"{function.__qualname__} takes {parameters} parameters; a handler of this kind takes {takes}")
        if adds and self.tenant:
            raise UsageError(f"table {self.name!r} has tenants: its rows are written under their tenant's key, which takes on")
        if any(each.adds != adds for each in self.projection.handlers if each.table is self):
            raise UsageError(
                f"table {self.name!r} has both add and on handlers: rows that are added are never changed; use on for all"
            )
        if any(
            each.function is not function for each in self.projection.handlers if each.table is self and (spans or each.spans)
        ):
            raise UsageError(
                f"table {self.name!r} has a spans handler and another one: their order would depend on batches; let one take all"
            )
        self.projection.handlers.append(Handler(self, source, message, function, key, parameters > fewest, adds, spans))
