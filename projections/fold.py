"""The fold itself, pure: records in, changed rows out. It decides *what*; `pipeline` does the waiting.

Work goes in three steps, so that a whole batch costs one look-up and one write per table: `Folder.read` decodes records and
finds which row keys they touch, the caller loads the rows that `Sheet.missing` names, `Folder.fold` runs the handlers in order
over the sheets.

A handler that raises may have half changed a row. The caller then drops every sheet, goes back to the last commit, and folds
the same records again *carefully*: each record on copies of its rows, so that the failing one can be parked and leaves nothing
behind.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from eventstore.errors import RefoldError
from eventstore.log.events import EventSource
from eventstore.privacy.opener import Opener
from eventstore.source import Reader, Record
from projections.projection import Projection
from projections.route import ADDS, Route
from projections.sheet import Sheet

Step = tuple[int, Sheet, Callable[..., Any], Any, Any, Any]
"""One handler call to come: index of the record, sheet, function, row key (ADDS = it makes rows), body, detail (None = none)."""


class Failure(NamedTuple):
    """A record that can't be applied, and why. *waits*: nothing is wrong with it, it stands behind one that failed."""

    record: Record
    reason: str
    waits: bool = False


BEHIND: Final = "an earlier record of this key is parked"


class HandlerFailed(Exception):
    """A handler raised in a fast fold, or made a row that PostgreSQL refuses: the batch must be folded again, carefully."""


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
        if not self.lost:
            return set()
        lost = Plan(self.records, [each for each in self.steps if each[0] in self.lost])
        return {(table, key) for found in (lost.keys(), lost.added_keys()) for table, keys in found.items() for key in keys}

    def keys(self) -> dict[str, set[Any]]:
        """Give the row keys that the steps touch, by table name; those of added rows are not among them."""
        keys: dict[str, set[Any]] = {}
        for _, sheet, _, key, _, _ in self.steps:
            if key is not ADDS:
                keys.setdefault(sheet.table.name, set()).add(key)
        return keys

    def added_keys(self) -> dict[str, set[Any]]:
        """Give the keys of the rows that adding handlers make, by table name; those that raise are passed over."""
        keys: dict[str, set[Any]] = {}
        for _, sheet, function, key, body, detail in self.steps:
            if key is ADDS:
                with contextlib.suppress(Exception):
                    made = make_rows(function, body, detail)
                    found = map(sheet.table.key_of, made)
                    keys.setdefault(sheet.table.name, set()).update(
                        each for each in found if sheet.table.refuse_key(each) is None
                    )
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
        self._routes: dict[tuple[str, str], list[Route]] = {}
        for source in projection.sources:
            topic = topics[source.name]
            wanted = projection.wanted(source)
            self._readers[topic] = (
                source.reader(wanted, self._opener) if isinstance(source, EventSource) else source.reader(wanted)
            )
            for each in projection.handlers:
                if each.source.name == source.name:
                    route = Route.of(self.sheets[each.table.name], each)
                    self._routes.setdefault((topic, each.message), []).append(route)

    @property
    def cached(self) -> int:
        """Rows held in memory."""
        return sum(len(each.rows) for each in self.sheets.values())

    @property
    def pending(self) -> int:
        """Changed rows that are not yet written."""
        return sum(each.pending for each in self.sheets.values())

    @property
    def is_whole(self) -> bool:
        """True when no batch needs anything loaded, neither rows nor what opens personal fields."""
        return self._opener is None and all(each.is_whole for each in self.sheets.values())

    def read(self, records: Sequence[Record]) -> Plan:
        """Decode *records* of one topic, in order, and find the handlers and row keys that they reach. Runs no handler."""
        plan = Plan(records)
        if not records:
            return plan
        topic = records[0].topic
        reader, add, parked = self._readers[topic], plan.steps.append, self.parked
        routes = self._routes_of(topic)
        opener, lost = self._opener, self._opener.lost if self._opener else 0
        for index, record in enumerate(_bare(records)):
            if parked and (topic, record.key) in parked:
                plan.failures.append(Failure(records[index], BEHIND, waits=True))
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
            except Exception:
                self._park((topic, record.key))
                plan.failures.append(Failure(records[index], self._explain(records[index])))
        return plan

    def run(self, records: Sequence[Record]) -> None:
        """Read and fold *records* of one topic in one pass: right only while `is_whole` and nothing is parked.

        Raises HandlerFailed at the first record that can't be read or applied; then the sheets are spoilt.
        """
        reader = self._readers[records[0].topic]
        routes = self._routes_of(records[0].topic)
        try:
            for record in _bare(records):
                message = reader(record)
                if message is None:
                    continue
                name, body, own, raw = message
                for sheet, function, key_of, unpack, detail, scope in routes[name]:
                    key = scope(body, own) if scope else key_of(body) if key_of else unpack(own)
                    if key is ADDS:
                        sheet.added += make_rows(function, body, detail(body, raw) if detail else None)
                        continue
                    rows = sheet.rows
                    row = rows.get(key)
                    made = function(body, row, detail(body, raw)) if detail else function(body, row)
                    if made is not row or made is not None:
                        rows[key] = made
                        sheet.dirty.add(key)
        except Exception as error:
            raise HandlerFailed(self.describe(error)) from error

    def fold(self, plan: Plan) -> None:
        """Run the handlers of *plan* in order. Raises HandlerFailed at the first one that raises; then the sheets are spoilt."""
        try:
            for _, sheet, function, key, body, detail in plan.steps:
                if key is ADDS:
                    sheet.added += make_rows(function, body, detail)
                    continue
                row = sheet.rows.get(key)
                made = function(body, row, detail) if detail is not None else function(body, row)
                if made is not row or made is not None:
                    sheet.rows[key] = made
                    sheet.dirty.add(key)
        except Exception as error:
            raise HandlerFailed(self.describe(error)) from (None if self._opener else error)

    def screen(self, plan: Plan) -> list[Failure]:
        """Take the records out of *plan* whose row keys PostgreSQL would refuse, and the later ones of their keys."""
        spoilt: dict[int, str] = {}
        for index, sheet, _, key, _, _ in plan.steps:
            why = None if key is ADDS else sheet.table.refuse_key(key)
            if why is not None:
                spoilt.setdefault(index, describe(why, private=self._opener is not None))
        if not spoilt:
            return []
        failures: list[Failure] = []
        poisoned: set[bytes | None] = set()
        for index in sorted({each[0] for each in plan.steps}):
            record = plan.records[index]
            if record.key is not None and record.key in poisoned:
                failures.append(Failure(record, BEHIND, waits=True))
            elif index in spoilt:
                poisoned.add(record.key)
                self._park((record.topic, record.key))
                failures.append(Failure(record, spoilt[index]))
        gone = {each.record.offset for each in failures}
        plan.steps[:] = [each for each in plan.steps if plan.records[each[0]].offset not in gone]
        return failures

    def fold_carefully(self, plan: Plan) -> list[Failure]:
        """Run the handlers record by record on copies; a record whose handler raises changes nothing and parks its key."""
        failures: list[Failure] = []
        poisoned: set[bytes | None] = set()
        for index, steps in _by_record(plan.steps):
            record = plan.records[index]
            if record.key is not None and record.key in poisoned:
                failures.append(Failure(record, BEHIND, waits=True))
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

    def _explain(self, record: Record) -> str:
        """Say why *record*, whole now, can't be read or routed."""
        try:
            message = self._readers[record.topic](record)
            assert message is not None
            for route in self._routes[record.topic, message.name]:
                _ = route.key(message.body, message.key)
                _ = route.detail(message.body, message.raw) if route.detail else None
        except Exception as error:
            return self.describe(error)
        return "it failed once, and not when it was read again"

    def _routes_of(self, topic: str) -> dict[str, list[Route]]:
        return {message: found for (of, message), found in self._routes.items() if of == topic}

    def _park(self, key: tuple[str, bytes | None]) -> None:
        """Let later records of *key* wait; one without a key belongs to no stream, so nothing waits behind it."""
        if key[1] is not None:
            self.parked.add(key)

    def _try_record(self, steps: Sequence[Step]) -> dict[tuple[Sheet, Any], Any]:
        made: dict[tuple[Sheet, Any], Any] = {}
        for _, sheet, function, key, body, detail in steps:
            if key is ADDS:
                made |= _add_rows(sheet, make_rows(function, body, detail), made)
                continue
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

    def evict(self, most_keys: int) -> None:
        """Give memory back after a commit; up to *most_keys* keys of a table stay."""
        for sheet in self.sheets.values():
            sheet.evict(most_keys)

    def clear(self) -> None:
        """Forget all rows, as after a failed fold or commit, or to give memory back."""
        for sheet in self.sheets.values():
            sheet.clear()


def _bare(records: Sequence[Record]) -> Sequence[Any]:
    """Give what readers need of *records*, as bare as the log has it: topic and partition may be missing."""
    return getattr(records, "raws", records)


def make_rows(function: Callable[..., Any], body: Any, detail: Any) -> Sequence[Any]:
    """Call an adding handler and give its rows."""
    made = function(body, detail) if detail is not None else function(body)
    if type(made) is list:
        return made  # pyright: ignore[reportUnknownVariableType]
    return () if made is None else (made,)


def _add_rows(sheet: Sheet, rows: Sequence[Any], made: Mapping[tuple[Sheet, Any], Any]) -> dict[tuple[Sheet, Any], Any]:
    """Give *rows* by key. Raises ValueError for a key that has a row already: in a careful fold all of them were loaded."""
    added: dict[tuple[Sheet, Any], Any] = {}
    for row in rows:
        key = sheet.table.key_of(row)
        if sheet.rows.get(key) is not None or (sheet, key) in made or (sheet, key) in added:
            raise ValueError(f"{sheet.table.name} has a row under key {key!r} already; a table whose rows change takes @table.on")
        added[sheet, key] = row
    return added


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
