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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from eventstore.log.events import EventSource
from eventstore.privacy.opener import Opener
from eventstore.source import Message, Reader, Record, Scan, Source, scan_each
from projections.declaration.effect import Effect
from projections.declaration.projection import Projection, SqlHandler
from projections.fold.admission import Admission, list_routes
from projections.fold.route import ADDS, Route
from projections.fold.sheet import Sheet
from projections.fold.step import BEHIND, Call, Failure, HandlerFailed, Plan, Step, describe, gather_spans, make_rows
from projections.fold.trace import Tracer


class Folder(Admission):
    """Folds one projection's records over its sheets. *complete*: this fold alone fills the tables, from empty."""

    def __init__(
        self,
        projection: Projection,
        topics: Mapping[str, str],
        *,
        complete: bool,
        opener: Opener | None = None,
        effects: bool = False,
    ) -> None:
        """Take the topic's name of each source (by the source's name), and what opens personal fields.

        *effects*: find the effects of events too, as only the worker of a live generation must.
        """
        super().__init__()
        self.projection = projection
        self._opener = (opener or Opener(None)) if projection.has_personal else None
        self.sheets = {each.name: Sheet(each, complete=complete) for each in projection.tables}
        self.parked: set[tuple[str, bytes | None]] = set()
        self._readers: dict[str, Reader] = {}
        self._scans: dict[str, Scan] = {}
        self._topics = topics
        self._routes: dict[tuple[str, str], list[Route]] = {}
        self._sql: dict[tuple[str, str], list[SqlHandler]] = {}
        self._effects: dict[tuple[str, str], list[Effect]] = {}
        for source in projection.sources:
            topic = topics[source.name]
            expected = [each for each in projection.effects if effects and each.source.name == source.name]
            wanted = projection.wanted(source).union(*(each.kinds for each in expected))
            detailed = bool(expected) or any(each.detailed for each in projection.all_handlers if each.source.name == source.name)
            self._open(source, topic, wanted, whole=detailed)
            for each in projection.handlers:
                if each.source.name == source.name:
                    route = Route.of(self.sheets[each.table.name], each)
                    self._routes.setdefault((topic, each.message), []).append(route)
            for each in expected:
                for message in each.kinds:
                    self._routes.setdefault((topic, message), [])
                    self._effects.setdefault((topic, message), []).append(each)
            for each in projection.sql_handlers:
                if each.source.name == source.name:
                    self._routes.setdefault((topic, each.message), [])
                    self._sql.setdefault((topic, each.message), []).append(each)
        self.spans = {each.table.name for each in projection.handlers if each.spans}
        self.tracer = Tracer(projection.emissions)
        self._open_ledgers(projection, topics, complete=complete)

    def _open(self, source: Source, topic: str, wanted: frozenset[str], *, whole: bool) -> None:
        if isinstance(source, EventSource):
            self._readers[topic] = source.reader(wanted, self._opener, whole=whole)
            self._scans[topic] = source.scan(wanted, self._readers[topic], whole=whole)
        else:
            self._readers[topic] = source.reader(wanted)

    def reread(self, make: Callable[[Source, str, frozenset[str], bool], Reader]) -> None:
        """Take the readers that *make* gives for (source, topic, message names, whole); one with personal fields keeps its own."""
        for source in self.projection.sources if self._opener is None else ():
            topic = self._topics[source.name]
            names = frozenset(message for of, message in self._routes if of == topic)
            detailed = any(each.detailed for each in self.projection.all_handlers if each.source.name == source.name)
            self._readers[topic] = make(source, topic, names, detailed or bool(self._effects))
            self._scans.pop(topic, None)

    @property
    def cached(self) -> int:
        """Rows held in memory."""
        return sum(len(each.rows) for each in self.sheets.values())

    @property
    def pending(self) -> int:
        """Changed rows that are not yet written."""
        return sum(each.pending for each in self.sheets.values()) + len(self.tracer.facts)

    @property
    def is_whole(self) -> bool:
        """True when no batch needs anything loaded, neither rows nor what opens personal fields."""
        return self._opener is None and not self._sql and not self.spans and all(each.is_whole for each in self.sheets.values())

    def read(self, records: Sequence[Record]) -> Plan:
        """Decode *records* of one topic, in order, and find the handlers and row keys that they reach. Runs no handler."""
        plan = Plan(records)
        if records and (ledger := self.ledgers.get(records[0].topic)):
            self._read_ordered(plan, ledger)
        elif records:
            self._read_plain(plan)
        return plan

    def _read_plain(self, plan: Plan) -> None:
        records = plan.records
        topic = records[0].topic
        reader, add, parked = self._readers[topic], plan.steps.append, self.parked
        routes, sql, effects = self._routes_of(topic), self._sql, self._effects
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
                    key = scope(body, own) if scope else key_of(body) if key_of else unpack(own) if unpack else own
                    add((index, sheet, function, key, body, detail(body, raw) if detail else None))
                plan.calls += [_call(index, each, body, raw) for each in sql.get((topic, name), ())] if sql else ()
                plan.errands += (
                    [(index, e.name, e.source.detail(body, raw).id) for e in effects.get((topic, name), ())] if effects else ()
                )
            except Exception:
                self._park((topic, record.key))
                plan.failures.append(Failure(records[index], self._explain(records[index])))

    def run(self, records: Sequence[Record]) -> None:
        """Read and fold *records* of one topic in one pass: right only while `is_whole` and nothing is parked.

        Raises HandlerFailed at the first record that can't be read or applied; then the sheets are spoilt.
        """
        if records[0].topic in self.ledgers or self.tracer.is_bound:
            self._run_ordered(records)
            return
        topic = records[0].topic
        scan = self._scans.get(topic) or scan_each(self._readers[topic])
        routes = self._routes_of(topic)
        single = {name: found[0] for name, found in routes.items() if len(found) == 1}
        find = {name: each.short for name, each in single.items()}.get
        find_added = {name: (each.sheet.added, each.function) for name, each in single.items() if each.is_bare_add}.get
        try:
            for name, body, own, raw in scan(_bare(records)):
                if short := find(name):
                    rows, note, function, key_of = short
                    key = key_of(body) if key_of else own
                    row = rows.get(key)
                    made = function(body, row)
                    if made is not row or made is not None:
                        rows[key] = made
                        note(key)
                elif adding := find_added(name):
                    added, function = adding
                    added += make_rows(function, body, None)
                else:
                    _apply(routes[name], body, own, raw)
        except Exception as error:
            raise HandlerFailed(self.describe(error)) from error

    def _run_ordered(self, records: Sequence[Record]) -> None:
        plan = self.read(records)
        self.admit(plan)
        if plan.failures:
            raise HandlerFailed(plan.failures[0].reason)
        self.fold(plan)

    def _lay_out(self, plan: Plan, index: int, topic: str, message: Message) -> None:
        for sheet, function, key, detail in list_routes(self._routes[topic, message.name], message):
            plan.steps.append((index, sheet, function, key, message.body, detail))
        if self._sql:
            plan.calls += [_call(index, each, message.body, message.raw) for each in self._sql.get((topic, message.name), ())]

    def fold(self, plan: Plan) -> None:
        """Run the handlers of *plan* in order. Raises HandlerFailed at the first one that raises; then the sheets are spoilt."""
        self.tracer.trace(plan)
        try:
            for _, sheet, function, key, body, detail in gather_spans(plan.steps, self.spans) if self.spans else plan.steps:
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
        return self.set_aside(plan, spoilt) if spoilt else []

    def set_aside(self, plan: Plan, spoilt: Mapping[int, str]) -> list[Failure]:
        """Take the records out of *plan* that *spoilt* names, with the reasons, and the later ones of their keys."""
        failures: list[Failure] = []
        poisoned: set[bytes | None] = set()
        for index in sorted({each[0] for each in [*plan.steps, *plan.calls]}):
            record = plan.records[index]
            if record.key is not None and record.key in poisoned:
                failures.append(Failure(record, BEHIND, waits=True))
            elif index in spoilt:
                poisoned.add(record.key)
                plan.take_back(index)
                self._park((record.topic, record.key))
                failures.append(Failure(record, spoilt[index]))
        gone = {each.record.offset for each in failures}
        plan.steps[:] = [each for each in plan.steps if plan.records[each[0]].offset not in gone]
        plan.calls[:] = [each for each in plan.calls if plan.records[each.at].offset not in gone]
        return failures

    def fold_carefully(self, plan: Plan) -> list[Failure]:
        """Run the handlers record by record on copies; a record whose handler raises changes nothing and parks its key."""
        failures: list[Failure] = []
        poisoned: set[bytes | None] = set()
        self.tracer.trace(plan)
        for index, steps in _by_record(plan.steps):
            record = plan.records[index]
            if record.key is not None and record.key in poisoned:
                failures.append(Failure(record, BEHIND, waits=True))
                continue
            try:
                made = self._try_record(steps)
            except Exception as error:
                poisoned.add(record.key)
                plan.take_back(index)
                self.tracer.take_back(record)
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
            if sheet.table.name in self.spans:
                body, detail = [body], None if detail is None else [detail]  # noqa: PLW2901 - a list of one
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
        for ledger in self.ledgers.values():
            ledger.forget()
        for sheet in self.sheets.values():
            sheet.settle()

    def evict(self, most_keys: int) -> None:
        """Give memory back after a commit; up to *most_keys* keys of a table stay."""
        for sheet in self.sheets.values():
            sheet.evict(most_keys)

    def clear(self) -> None:
        """Forget all rows, as after a failed fold or commit, or to give memory back."""
        self.tracer.facts.clear()
        for ledger in self.ledgers.values():
            ledger.forget()
        for sheet in self.sheets.values():
            sheet.clear()


def _apply(routes: Sequence[Route], body: Any, own: Any, raw: Any) -> None:
    """Run the handlers of one message."""
    for sheet, function, key_of, unpack, detail, scope in routes:
        key = scope(body, own) if scope else key_of(body) if key_of else unpack(own) if unpack else own
        if key is ADDS:
            sheet.added += make_rows(function, body, detail(body, raw) if detail else None)
            continue
        rows = sheet.rows
        row = rows.get(key)
        made = function(body, row, detail(body, raw)) if detail else function(body, row)
        if made is not row or made is not None:
            rows[key] = made
            sheet.dirty.add(key)


def _call(index: int, handler: SqlHandler, body: Any, raw: Any) -> Call:
    detail = handler.source.detail(body, raw) if handler.batch or handler.detailed else None
    return Call(
        index, handler.function, handler.batch, detail if handler.batch else (body, detail) if handler.detailed else (body,)
    )


def _bare(records: Sequence[Record]) -> Sequence[Any]:
    """Give what readers need of *records*, as bare as the log has it: topic and partition may be missing."""
    return getattr(records, "raws", records)


def _add_rows(sheet: Sheet, rows: Sequence[Any], made: Mapping[tuple[Sheet, Any], Any]) -> dict[tuple[Sheet, Any], Any]:
    """Give *rows* by key. Raises ValueError for a key that has a row already: in a careful fold all of them were loaded."""
    added: dict[tuple[Sheet, Any], Any] = {}
    for row in rows:
        key = sheet.table.key_of(row)
        if sheet.rows.get(key) is not None or (sheet, key) in made or (sheet, key) in added:
            raise ValueError(f"{sheet.table.name} has a row under key {key!r} already; a table whose rows change takes @table.on")
        added[sheet, key] = row
    return added


def _by_record(steps: Sequence[Step]) -> Iterator[tuple[int, list[Step]]]:
    group: list[Step] = []
    for step in steps:
        if group and group[0][0] != step[0]:
            yield group[0][0], group
            group = []
        group.append(step)
    if group:
        yield group[0][0], group
