"""The fold's way with ordered sources: records are read first, decided about when their marks are there, and only then handed on.

A base of `Folder`, which has readers, routes and the list of what is parked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from eventstore.source import Message, OrderedSource, Reader, Record
from projections.declaration.projection import Projection
from projections.fold.ledger import Ledger
from projections.fold.route import Route
from projections.fold.sheet import Sheet
from projections.fold.step import BEHIND, Failure, Plan
from projections.order.mark import Mark


class Admission:
    """Keeps a ledger for each ordered source. *refusal*: set = records that remove other rows are set aside for this reason."""

    sheets: dict[str, Sheet]
    parked: set[tuple[str, bytes | None]]
    _readers: dict[str, Reader]

    def __init__(self) -> None:
        self.ledgers: dict[str, Ledger] = {}
        self.refusal: str | None = None

    def _open_ledgers(self, projection: Projection, topics: Mapping[str, str], *, complete: bool) -> None:
        tables = projection.marks
        for source in projection.sources:
            if isinstance(source, OrderedSource):
                table = tables[source.name]
                sheet = self.sheets[table.name] = Sheet(table, complete=complete)
                recalls = any(each.key is not None for each in projection.handlers if each.source.name == source.name)
                self.ledgers[topics[source.name]] = Ledger(source, sheet, recalls=recalls)

    def set_partitions(self, counts: Mapping[str, int]) -> None:
        """Say how many partitions each topic has."""
        for topic, ledger in self.ledgers.items():
            ledger.partitions = counts.get(topic, 1)

    def _read_ordered(self, plan: Plan, ledger: Ledger) -> None:
        """Decode the records of *plan* and find where they stand."""
        plan.ledger = ledger
        reader, find_place, add = self._readers[plan.records[0].topic], ledger.source.place, plan.places.append
        for index, record in enumerate(plan.records):
            if self.parked and self._waits(record):
                plan.failures.append(Failure(record, BEHIND, waits=True))
                continue
            try:
                message = reader(record)
                if message is not None:
                    add((index, message, find_place(message.body)))
            except Exception as error:
                self._refuse(plan, record, self.describe(error))

    def admit(self, plan: Plan) -> list[Failure]:
        """Make the steps of a plan whose marks are loaded, and mark its records as seen; give those that could not be handed on."""
        before = len(plan.failures)
        ledger = plan.ledger
        if ledger is None:
            return []
        records, marks = plan.records, ledger.sheet.rows
        for index, message, place in plan.places:
            record = records[index]
            if self.parked and self._waits(record):
                plan.failures.append(Failure(record, BEHIND, waits=True))
                continue
            if self.refusal is not None and (place.act == "sweep" or place.ends):
                self._refuse(plan, record, self.refusal)
                continue
            if place.key is not None:
                plan.before[index] = place.key, marks.get(place.key)
            try:
                for each in ledger.admit(record.partition, message, place):
                    self._lay_out(plan, index, record.topic, each)
            except Exception as error:
                plan.take_back(index)
                self._refuse(plan, record, self.describe(error))
        plan.places = []
        return plan.failures[before:]

    def remove(self, topic: str, marks: Iterable[Mark]) -> Plan:
        """Give the steps by which the rows of *marks* go."""
        plan, ledger = Plan(()), self.ledgers[topic]
        for message in ledger.remove(marks):
            self._lay_out(plan, 0, topic, message)
        return plan

    def seal(self) -> None:
        """Bring what is known of ordered sources into their marks, to be written."""
        for ledger in self.ledgers.values():
            ledger.seal()

    def _refuse(self, plan: Plan, record: Record, reason: str) -> None:
        self._park((record.topic, record.key))
        plan.failures.append(Failure(record, reason))

    def _waits(self, record: Record) -> bool:
        return bool(self.parked) and (record.topic, record.key) in self.parked

    def _lay_out(self, plan: Plan, index: int, topic: str, message: Message) -> None:
        raise NotImplementedError

    def _park(self, key: tuple[str, bytes | None]) -> None:
        raise NotImplementedError

    def describe(self, error: BaseException) -> str:
        """Say what went wrong and where."""
        raise NotImplementedError


def list_routes(routes: Sequence[Route], message: Message) -> list[tuple[Sheet, Callable[..., Any], Any, Any]]:
    """Give sheet, function, row key and detail of each handler that *message* reaches."""
    found: list[tuple[Sheet, Callable[..., Any], Any, Any]] = []
    for route in routes:
        key = route.key(message.body, message.key)
        found.append((route.sheet, route.function, key, route.detail(message.body, message.raw) if route.detail else None))
    return found
