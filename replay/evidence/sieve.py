"""Which records of the log reach which rows: the projection's own readers, key functions and handlers, over rows that are asked for.

A build folds everything; this picks out. It is right for whatever the fold is right for, because it reads with the same `Folder`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from eventstore.privacy.opener import Opener
from eventstore.source import Record
from projections.control.checkpoint import Partition
from projections.declaration.projection import Projection
from projections.declaration.table import Table
from projections.fold.fold import Folder
from projections.fold.route import ADDS
from projections.fold.step import Plan, make_rows
from projections.order.epoch import NOTHING, Order

Wanted = Callable[[Table[Any], Any], bool]
Place = tuple[str, int, int]
"""Topic, partition, offset."""
Floors = Mapping[str, tuple[Order, int]]
"""By topic of several partitions: below which order, a place of what time, no row exists any more."""


class Touch(NamedTuple):
    """One handler's call for one row: *made* is the row of an adding handler, ADDS for one that gets the row and gives the next.

    *spans*: it takes lists.
    *set_aside*: the generation has parked the record, so that it had no effect. *lost*: it had lost personal data.
    """

    record: Record
    table: Table[Any]
    key: Any
    function: Callable[..., Any]
    body: Any
    detail: Any
    made: Any
    set_aside: bool
    lost: bool
    spans: bool

    def apply(self, row: Any) -> Any:
        """Give the row that comes after *row*."""
        if self.made is not ADDS:
            return self.made
        if self.spans:
            return self.function([self.body], row, *([] if self.detail is None else [[self.detail]]))
        return self.function(self.body, row, self.detail) if self.detail is not None else self.function(self.body, row)


class Sieve:
    """Picks the touches of rows that *wanted* says yes to; *parked* are the places of records that the generation set aside."""

    def __init__(
        self,
        projection: Projection,
        topics: Mapping[str, str],
        wanted: Wanted,
        *,
        opener: Opener | None = None,
        parked: AbstractSet[Place] = frozenset(),
        streams: AbstractSet[bytes] | None = None,
    ) -> None:
        """Take the records' keys that can matter as *streams* (None = all), which spares decoding the rest."""
        self._folder = Folder(projection, topics, complete=False, opener=opener)
        for ledger in self._folder.ledgers.values():
            ledger.sheet.complete = True  # all marks come of the records read here
        self._opener = opener if projection.has_personal else None
        self._wanted = wanted
        self.parked = parked
        self._streams = streams
        self._last: dict[str, Record] = {}

    def set_partitions(self, counts: Mapping[str, int]) -> None:
        """Say how many partitions each topic has."""
        self._folder.set_partitions(counts)

    async def sift(self, batch: Mapping[Partition, Sequence[Record]]) -> list[Touch]:
        """Give the touches of *batch*, in order within each partition."""
        found: list[Touch] = []
        for records in batch.values():
            kept = (
                records if self._streams is None else [each for each in records if each.key is None or each.key in self._streams]
            )
            if not kept:
                continue
            if self._opener is not None:
                await self._opener.prepare([each.value for each in kept])
            plan = self._folder.read(kept)
            self._admit(plan)
            found += self._pick(plan)
        return found

    def finish(self, floors: Floors) -> list[Touch]:
        """Give the touches by which rows went that were below *floors* when no partition held them any more.

        Where a topic has several partitions, the end of a snapshot in one of them says nothing: the generation alone knows what came of it.
        """
        found: list[Touch] = []
        for topic, ledger in self._folder.ledgers.items():
            history, (floor, at) = ledger.history, floors.get(topic, (NOTHING, 0))
            if floor > history.floor and topic in self._last:
                history.raise_floor(floor, at)
                gone = self._folder.remove(topic, ledger.find_gone(ledger.sheet.rows.values()))
                history.swept = history.floor
                found += self._pick(Plan([self._last[topic]], gone.steps))
        return found

    def _admit(self, plan: Plan) -> None:
        """Let ordered sources decide; what was set aside is laid out, and was not seen, as in the generation."""
        if plan.ledger is None:
            self._folder.admit(plan)
            return
        places = ((index, (each.topic, each.partition, each.offset)) for index, each in enumerate(plan.records))
        aside = [index for index, place in places if place in self.parked] if self.parked else []
        plan.places = [each for each in plan.places if each[0] not in aside or not (each[2].act == "sweep" or each[2].ends)]
        self._folder.admit(plan)
        for index in reversed(aside):
            plan.take_back(index)
        self._last |= {each.topic: each for index, each in enumerate(plan.records) if index not in aside}

    def _pick(self, plan: Plan) -> list[Touch]:
        found: list[Touch] = []
        for index, sheet, function, key, body, detail in plan.steps:
            if key is not ADDS and not self._wanted(sheet.table, key):
                continue
            record = plan.records[index]
            aside = (record.topic, record.partition, record.offset) in self.parked
            rest = function, body, detail
            if key is not ADDS:
                spans = sheet.table.name in self._folder.spans
                found.append(Touch(record, sheet.table, key, *rest, ADDS, aside, index in plan.lost, spans))
                continue
            found.extend(
                Touch(record, sheet.table, own, *rest, row, aside, index in plan.lost, spans=False)
                for row in make_rows(function, body, detail)
                if self._wanted(sheet.table, own := sheet.table.key_of(row))
            )
        return found
