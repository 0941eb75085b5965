"""The fold itself, pure: records in, changed rows out. It decides *what*; `pipeline` does the waiting.

Work goes in three steps, so that a whole batch costs one look-up and one write per table: `Folder.read` decodes records and
finds which row keys they touch, the caller loads the rows that `Sheet.missing` names, `Folder.fold` runs the handlers in order
over the sheets.

A handler that raises may have half changed a row. The caller then drops every sheet, goes back to the last commit, and folds
the same records again *carefully*: each record on copies of its rows, so that the failing one can be parked and leaves nothing
behind.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from eventstore.errors import RefoldError, UsageError
from eventstore.log.events import EventSource
from eventstore.privacy.opener import Opener
from eventstore.source import Reader, Record
from eventstore.tenant import split
from projections.projection import Handler, Projection
from projections.table import Table

Step = tuple[int, "Sheet", Callable[..., Any], Any, Any, Any]
"""One handler call to come: index of the record, sheet, function, row key, body, detail (None = a handler of two parameters)."""


class Failure(NamedTuple):
    """A record that can't be applied, and why."""

    record: Record
    reason: str


class _Route(NamedTuple):
    """Where a message goes: sheet, function, key function, what makes the own key the row's, maker of the third parameter.

    *scope* makes the row's key for a table with tenants, from body and own key; None for any other.
    """

    sheet: Sheet
    function: Callable[..., Any]
    key_of: Callable[[Any], Any] | None
    unpack: Callable[[Any], Any]
    detail: Callable[[Any, Any], Any] | None
    scope: Callable[[Any, Any], Any] | None

    @classmethod
    def of(cls, sheet: Sheet, handler: Handler) -> _Route:
        """Read a handler's declaration."""
        detail = handler.source.detail if handler.detailed else None
        unpack = _take_single if sheet.table.has_single_key else _take_whole
        scope = _make_scope(handler) if sheet.table.tenant and isinstance(handler.source, EventSource) else None
        return cls(sheet, handler.function, handler.key, unpack, detail, scope)


def _make_scope(handler: Handler) -> Callable[[Any, Any], Any]:
    """Give what puts the tenant of an event's stream before the key, so that no handler can reach another tenant's row."""
    key_of = handler.key

    def scope(body: Any, own: Any) -> Any:
        tenant, name = split(own)
        if tenant is None:
            raise UsageError(
                f"stream {own!r} is of no tenant, but table {handler.table.name!r} has a row a tenant: append through store.tenant(name)"
            )
        key = key_of(body) if key_of else name
        return (tenant, *key) if type(key) is tuple else (tenant, key)  # pyright: ignore[reportUnknownVariableType]

    return scope


def _take_single(key: Any) -> Any:
    return _take_whole(key)[0] if type(key) is tuple else key


def _take_whole(key: Any) -> Any:
    if key == ():
        raise UsageError(
            "this change has no row key, as when its table was truncated: the rows stay until the projection is replayed; "
            "a handler declared with key= can take it"
        )
    return key


class HandlerFailed(Exception):
    """A handler raised in a fast fold, or made a row that PostgreSQL refuses: the batch must be folded again, carefully."""


class Sheet:
    """The working copy of one table: rows by key, which of them changed, and what is known of the database.

    While *complete* is true a key without a row here has none in the database either: true only for a table that this fold
    alone has written since it was empty. *stored* then holds the keys that the database has.
    """

    def __init__(self, table: Table[Any], *, complete: bool) -> None:
        self.table = table
        self.complete = complete
        self.rows: dict[Any, Any] = {}
        self.dirty: set[Any] = set()
        self.stored: set[Any] = set()

    def missing(self, keys: Iterable[Any]) -> list[Any]:
        """Give those of *keys* that must be loaded before the fold."""
        return [] if self.complete else [key for key in set(keys) if key not in self.rows]

    def load(self, keys: Iterable[Any], rows: Iterable[Any]) -> None:
        """Take over what the database holds under *keys*: *rows* exist, the others don't.

        Raises UsageError for a row under a key that nobody asked for: the handlers' key has another type than the column.
        """
        self.rows.update(dict.fromkeys(keys))
        key_of = self.table.key_of
        for row in rows:
            key = key_of(row)
            if key not in self.rows:
                raise UsageError(
                    f"table {self.table.name!r}: a row was found under key {key!r}, which no handler asked for in this form; let the "
                    f"key function give the type of {self.table.row.__name__}'s key"
                )
            self.rows[key] = row
            self.stored.add(key)

    def changed(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Give what to write: rows the database has not, rows it has, keys to delete."""
        rows, stored = self.rows, self.stored
        fresh = [rows[key] for key in self.dirty if rows[key] is not None and key not in stored]
        known = [rows[key] for key in self.dirty if rows[key] is not None and key in stored]
        gone = [key for key in self.dirty if rows[key] is None and key in stored]
        return fresh, known, gone

    def settle(self) -> None:
        """Note that the changes are committed."""
        for key in self.dirty:
            if self.rows[key] is None:
                self.stored.discard(key)
                if self.complete:
                    del self.rows[key]
            else:
                self.stored.add(key)
        self.dirty.clear()

    def clear(self) -> None:
        """Forget all rows; whatever is needed next must be loaded."""
        self.complete = False
        self.rows.clear()
        self.dirty.clear()
        self.stored.clear()


@dataclass(slots=True)
class Plan:
    """What one batch of records amounts to before any handler ran."""

    records: Sequence[Record]
    steps: list[Step] = field(default_factory=list[Step])
    failures: list[Failure] = field(default_factory=list[Failure])
    lost: set[int] = field(default_factory=set[int])
    """Indexes of the records that had lost personal data."""

    def lost_keys(self) -> set[tuple[str, Any]]:
        """Give table and key of the rows that were made without what was lost."""
        return (
            {(sheet.table.name, key) for index, sheet, _, key, _, _ in self.steps if index in self.lost} if self.lost else set()
        )

    def keys(self) -> dict[str, set[Any]]:
        """Give the row keys that the steps touch, by table name."""
        keys: dict[str, set[Any]] = {}
        for _, sheet, _, key, _, _ in self.steps:
            keys.setdefault(sheet.table.name, set()).add(key)
        return keys


class Folder:
    """Folds one projection's records over its sheets. *complete*: this fold alone fills the tables, from empty."""

    def __init__(
        self, projection: Projection, topics: Mapping[str, str], *, complete: bool, opener: Opener | None = None
    ) -> None:
        """Take the topic's name of each source (by the source's name), and what opens personal fields."""
        self.projection = projection
        self._opener = (opener or Opener(None)) if projection.has_personal else None
        self.sheets = {each.name: Sheet(each, complete=complete) for each in projection.tables}
        self.parked: set[tuple[str, bytes | None]] = set()
        self._readers: dict[str, Reader] = {}
        self._routes: dict[tuple[str, str], list[_Route]] = {}
        for source in projection.sources:
            topic = topics[source.name]
            wanted = projection.wanted(source)
            self._readers[topic] = (
                source.reader(wanted, self._opener) if isinstance(source, EventSource) else source.reader(wanted)
            )
            for each in projection.handlers:
                if each.source.name == source.name:
                    route = _Route.of(self.sheets[each.table.name], each)
                    self._routes.setdefault((topic, each.message), []).append(route)

    @property
    def cached(self) -> int:
        """Rows held in memory."""
        return sum(len(each.rows) for each in self.sheets.values())

    @property
    def pending(self) -> int:
        """Changed rows that are not yet written."""
        return sum(len(each.dirty) for each in self.sheets.values())

    def read(self, records: Sequence[Record]) -> Plan:
        """Decode *records* of one topic, in order, and find the handlers and row keys that they reach. Runs no handler."""
        plan = Plan(records)
        if not records:
            return plan
        topic = records[0].topic
        reader, add, parked = self._readers[topic], plan.steps.append, self.parked
        routes = {message: found for (of, message), found in self._routes.items() if of == topic}
        opener, lost = self._opener, self._opener.lost if self._opener else 0
        for index, record in enumerate(records):
            if parked and (topic, record.key) in parked:
                plan.failures.append(Failure(record, "an earlier record of this key is parked"))
                continue
            try:
                message = reader(record)
                if message is None:
                    continue
                name, body, own, raw = message
                if opener is not None and opener.lost != lost:
                    lost = opener.lost
                    plan.lost.add(index)
                for sheet, function, key_of, unpack, detail, scope in routes[name]:
                    key = scope(body, own) if scope else key_of(body) if key_of else unpack(own)
                    add((index, sheet, function, key, body, detail(body, raw) if detail else None))
            except Exception as error:
                self._park((topic, record.key))
                plan.failures.append(Failure(record, self.describe(error)))
        return plan

    def fold(self, plan: Plan) -> None:
        """Run the handlers of *plan* in order. Raises HandlerFailed at the first one that raises; then the sheets are spoilt."""
        try:
            for _, sheet, function, key, body, detail in plan.steps:
                row = sheet.rows.get(key)
                made = function(body, row, detail) if detail is not None else function(body, row)
                if made is not row or made is not None:
                    sheet.rows[key] = made
                    sheet.dirty.add(key)
        except Exception as error:
            raise HandlerFailed(self.describe(error)) from (None if self._opener else error)

    def fold_carefully(self, plan: Plan) -> list[Failure]:
        """Run the handlers record by record on copies; a record whose handler raises changes nothing and parks its key."""
        failures: list[Failure] = []
        poisoned: set[bytes | None] = set()
        for index, steps in _by_record(plan.steps):
            record = plan.records[index]
            if record.key is not None and record.key in poisoned:
                failures.append(Failure(record, "an earlier record of this key is parked"))
                continue
            try:
                made = self._try_record(steps)
            except Exception as error:
                poisoned.add(record.key)
                self._park((record.topic, record.key))
                failures.append(Failure(record, self.describe(error)))
                continue
            for (sheet, key), row in made.items():
                sheet.rows[key] = row
                sheet.dirty.add(key)
        return failures

    def _park(self, key: tuple[str, bytes | None]) -> None:
        """Let later records of *key* wait; one without a key belongs to no stream, so nothing waits behind it."""
        if key[1] is not None:
            self.parked.add(key)

    def _try_record(self, steps: Sequence[Step]) -> dict[tuple[Sheet, Any], Any]:
        made: dict[tuple[Sheet, Any], Any] = {}
        for _, sheet, function, key, body, detail in steps:
            row = made[sheet, key] if (sheet, key) in made else copy.deepcopy(sheet.rows.get(key))
            made[sheet, key] = function(body, row, detail) if detail is not None else function(body, row)
        for (sheet, key), row in made.items():
            if row is not None:
                sheet.table.check(row, key)
        return made

    def describe(self, error: BaseException) -> str:
        """Say what went wrong and where; without its words where those may quote personal data."""
        return describe(error, private=self._opener is not None)

    def settle(self) -> None:
        """Note that all changes are committed."""
        for sheet in self.sheets.values():
            sheet.settle()

    def clear(self) -> None:
        """Forget all rows, as after a failed fold or commit, or to give memory back."""
        for sheet in self.sheets.values():
            sheet.clear()


def describe(error: BaseException, *, private: bool = False) -> str:
    """Say what went wrong and where, in one line, for the list of parked records.

    *private*: leave out the words of errors that are not ours, since they may quote what an event or a row holds.
    """
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
    words = str(error)
    if private and not isinstance(error, (RefoldError, HandlerFailed)):
        words = getattr(error, "plain", "its words are withheld, for they may quote personal data")
    return f"{type(error).__name__}: {words}{where}"


def _by_record(steps: Sequence[Step]) -> Iterator[tuple[int, list[Step]]]:
    group: list[Step] = []
    for step in steps:
        if group and group[0][0] != step[0]:
            yield group[0][0], group
            group = []
        group.append(step)
    if group:
        yield group[0][0], group
