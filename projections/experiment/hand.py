"""One process at work in an experiment: it folds records as a worker or a build does, and what it has not committed dies with it.

The fold, the marks of ordered sources and what is derived are the real ones. What a pipeline does in SQL is done here on a dictionary:
rows are loaded and written, rows that went without a word are swept, joined columns are worked out from all versions there are.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from eventstore.errors import Unreachable
from eventstore.source import Message, Reader, Record
from projections.control.outbox import Derived
from projections.declaration.join import Join
from projections.declaration.projection import Projection
from projections.experiment.store import Store
from projections.experiment.telling import Partition, Raw, name_topic
from projections.fold.fold import Folder
from projections.fold.ledger import Ledger
from projections.fold.step import Call, Plan
from projections.fold.trace import write_facts
from projections.order.mark import HISTORY
from projections.readmodels.desk import Desk


class Due(NamedTuple):
    """An effect, by name, that *record* has."""

    effect: str
    record: Record


class Ears(Folder):
    """A fold that also takes records whose value is a message already."""

    def __init__(self, projection: Projection, *, complete: bool, effects: bool) -> None:
        topics = {each.name: name_topic(each.name) for each in projection.sources}
        super().__init__(projection, topics, complete=complete, effects=effects)
        for source in projection.sources:
            topic = topics[source.name]
            self._readers[topic] = _take_messages(self._readers[topic], projection.wanted(source))


class Hand:
    """Works for *projection* on *store*; *log* is all that there is to read.

    *builds*: rows stay in memory between commits, as in a build that fills its tables alone; else they are read back, as by a worker.
    *effects*: note which effects the records have.
    """

    def __init__(
        self,
        projection: Projection,
        store: Store,
        log: Mapping[Partition, Sequence[Raw]],
        desk: Desk | None,
        *,
        builds: bool = False,
        effects: bool = False,
    ) -> None:
        self._projection = projection
        self._store = store
        self._log = log
        self._desk = desk
        self._builds = builds and not projection.joins
        self._folder = Ears(projection, complete=self._builds and store.is_untouched, effects=effects)
        self._folder.set_partitions(Counter(topic for topic, _ in log))
        self._calls: list[Call] = []
        self._moves: dict[Partition, int] = {}
        self.due: list[Due] = []

    def where(self, partition: Partition) -> int:
        """Give the offset that it reads next."""
        return self._moves.get(partition, self._store.offsets[partition])

    def absorb(self, records: Sequence[Raw]) -> None:
        """Fold *records* of one partition. Raises AssertionError for one that can't be read, HandlerFailed for one that can't be folded."""
        if not records:
            return
        plan = self._folder.read(records)
        if plan.ledger is not None:
            self._load({plan.ledger.sheet.table.name: plan.mark_keys()})
            self._folder.admit(plan)
        for failure in plan.failures:
            raise AssertionError(f"{failure.record.value!r}: {failure.reason}")
        self.due += [Due(effect, records[at]) for at, effect, _ in plan.errands]
        self._apply(plan)
        self._moves[records[-1].topic, records[-1].partition] = records[-1].offset + 1

    def end(self, *, keep: bool = True) -> list[Derived]:
        """Commit, and give what followed; or do what a process has done that dies before it commits."""
        self._write()
        self._sweep()
        self._end_snapshots()
        complete_rows(self._projection.joins, self._store)
        if self._desk is not None and self._calls:
            self._desk.run(self._calls, keep=keep)
        self._calls.clear()
        facts = self._folder.tracer.take()
        following = {number: len(each) + 1 for number, each in self._store.derived.items()}
        derived = write_facts(facts, self._projection.name, f"told/{self._projection.name}", following)
        if not keep:
            self._store.rollback()
            return []
        self._store.commit(self._moves, derived)
        self._moves.clear()
        if not self._builds:
            self._folder.clear()
        return derived

    def _apply(self, plan: Plan) -> None:
        self._load(plan.keys())
        self._calls += plan.calls
        self._folder.fold(plan)

    def _load(self, touched: Mapping[str, Iterable[Any]]) -> None:
        for name, keys in touched.items():
            sheet = self._folder.sheets[name]
            if missing := sheet.missing(keys):
                found = [row for key in missing if (row := self._store.get(name, key)) is not None]
                for join in self._projection.joins:
                    for row in found if join.table is sheet.table else ():
                        join.strip(row)
                sheet.load(missing, found)

    def _write(self) -> None:
        self._folder.seal()
        for name, sheet in self._folder.sheets.items():
            for key in sheet.dirty:
                self._store.put(name, key, sheet.rows[key])
            for row in sheet.added:
                self._store.add(name, row)
        self._folder.settle()

    def _sweep(self) -> None:
        """Let handlers take away the rows that went without a word, which are those whose marks lie below the floor."""
        for topic, ledger in self._folder.ledgers.items():
            self._load({ledger.sheet.table.name: {HISTORY}})
            if not ledger.history.is_due:
                continue
            gone = ledger.find_gone(self._store.scan(ledger.sheet.table.name))
            ledger.sheet.load([each.key for each in gone], gone)
            self._apply(self._folder.remove(topic, gone))
            ledger.history.swept = ledger.history.floor
            self._write()

    def _end_snapshots(self) -> None:
        """Let rows go that a snapshot in several partitions no longer held, once each is read to its end, which is known here."""
        for topic, ledger in self._folder.ledgers.items():
            if ledger.partitions > 1 and self._is_over(topic, ledger):
                self._write()
                self._sweep()

    def _is_over(self, topic: str, ledger: Ledger) -> bool:
        self._load({ledger.sheet.table.name: {HISTORY}})
        history = ledger.history
        if history.awaited is None:
            return False
        history.until = history.until or {each: len(self._log[topic, each]) for each in range(ledger.partitions)}
        history.end_awaited({each: self.where((topic, each)) for each in range(ledger.partitions)})
        return True


def complete_rows(joins: Sequence[Join], store: Store) -> None:
    """Fill the joined columns of all rows from all versions there are, each join on a row that is bare of all of them."""
    for table in {each.table.name: each.table for each in joins}.values():
        mine = [each for each in joins if each.table is table]
        rows = store.scan(table.name)
        before = [table.values(each) for each in rows]
        for join in mine:
            for row in rows:
                join.strip(row)
        bare = [copy.copy(each) for each in rows]
        for join in mine:
            filled = [copy.copy(each) for each in bare]
            join.fill(filled, store.scan(join.past.name))
            for row, found in zip(rows, filled, strict=True):
                join.write(row, join.read(found))
        for row, values in zip(rows, before, strict=True):
            if table.values(row) != values:
                store.put(table.name, table.key_of(row), row)


def open_desk(projection: Projection) -> AbstractContextManager[Desk | None]:
    """Give what the SQL handlers of *projection* run on; nothing, if it has none."""
    return _Lent(projection) if projection.sql_handlers else nullcontext()


class _Lent(Desk):
    def __enter__(self) -> Desk:
        """Connect and make the tables. Raises Unreachable."""
        try:
            return super().__enter__()
        except Unreachable as error:
            raise Unreachable(
                f"{self._projection.name} has SQL handlers, whose statements need a real server: {error}", **error.facts
            ) from error


def _take_messages(reader: Reader, wanted: frozenset[str]) -> Reader:
    def read(record: Record) -> Message | None:
        value: object = record.value
        if isinstance(value, Message):
            return value if value.name in wanted else None
        return reader(record)

    return read
