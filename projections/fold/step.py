"""What one batch of records amounts to: the handler calls to come, and the records that can't be applied. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from eventstore.errors import RefoldError
from eventstore.source import Message, Place, Record
from projections.fold.ledger import Ledger
from projections.fold.route import ADDS
from projections.fold.sheet import Sheet
from projections.order.mark import HISTORY, Mark


class Call(NamedTuple):
    """One call of an SQL handler to come, for the record *at* this index: *given* is what goes into a batch, or its arguments."""

    at: int
    function: Callable[..., Any]
    batch: bool
    given: Any


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


class HalfApplied(HandlerFailed):
    """Records whose SQL was run were refused by a fold afterwards: begin again without them; *reasons* by topic, partition, offset."""

    def __init__(self, reasons: Mapping[tuple[str, int, int], str]) -> None:
        super().__init__(next(iter(reasons.values())))
        self.reasons = reasons


class SweepFailed(HandlerFailed):
    """A handler refused the going of a row that went with others: the record that tells of it must be set aside."""


@dataclass(slots=True)
class Plan:
    """What one batch of records amounts to before any handler ran."""

    records: Sequence[Record]
    steps: list[Step] = field(default_factory=list[Step])
    calls: list[Call] = field(default_factory=list[Call])
    errands: list[tuple[int, str, UUID]] = field(default_factory=list[tuple[int, str, UUID]])
    """Index of the record, effect, event id."""
    failures: list[Failure] = field(default_factory=list[Failure])
    lost: set[int] = field(default_factory=set[int])
    """Indexes of the records that had lost personal data."""
    ledger: Ledger | None = None
    """For records of an ordered source: what decides which of *places* are new, and makes the steps (`Folder.admit`)."""
    places: list[tuple[int, Message, Place]] = field(default_factory=list[tuple[int, Message, Place]])
    before: dict[int, tuple[str, Mark | None]] = field(default_factory=dict[int, tuple[str, Mark | None]])
    """By record: the mark that it replaced."""

    def mark_keys(self) -> set[str]:
        """Give the keys of the marks that decide about *places*."""
        return {HISTORY, *(place.key for _, _, place in self.places if place.key is not None)}

    def take_back(self, index: int) -> None:
        """Forget that the record at *index* was seen: it is set aside, with the later ones of its key."""
        key, mark = self.before.get(index, (None, None))
        if key is not None and self.ledger is not None:
            self.ledger.put(key, mark)

    def lost_keys(self) -> set[tuple[str, Any]]:
        """Give table and key of the rows that were made without what was lost."""
        if not self.lost:
            return set()
        lost = Plan(self.records, [each for each in self.steps if each[0] in self.lost])
        return {(table, key) for found in (lost.keys(), lost.added_keys()) for table, keys in found.items() for key in keys}

    def called(self) -> list[Record]:
        """Give the records that SQL handlers take, each once a call."""
        return [self.records[each.at] for each in self.calls]

    def keys(self) -> dict[str, set[Any]]:
        """Give the row keys that the steps touch, by table name; those of added rows are not among them."""
        sheets = {id(each[1]): each[1] for each in self.steps}.values()
        keys = {each.table.name: {step[3] for step in self.steps if step[1] is each and step[3] is not ADDS} for each in sheets}
        return {name: found for name, found in keys.items() if found}

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


def make_rows(function: Callable[..., Any], body: Any, detail: Any) -> Sequence[Any]:
    """Call an adding handler and give its rows."""
    made = function(body, detail) if detail is not None else function(body)
    if type(made) is list:
        return made  # pyright: ignore[reportUnknownVariableType]
    return () if made is None else (made,)


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


def gather_spans(steps: Sequence[Step], tables: AbstractSet[str]) -> list[Step]:
    """Make one step of all those of a row in *tables*, with its bodies and details as lists, in the place of the first."""
    found: list[Step] = []
    lists: dict[tuple[str, Any], tuple[list[Any], list[Any] | None]] = {}
    for step in steps:
        index, sheet, function, key, body, detail = step
        if sheet.table.name not in tables:
            found.append(step)
            continue
        place = sheet.table.name, key
        if place not in lists:
            lists[place] = [], None if detail is None else []
            found.append((index, sheet, function, key, *lists[place]))
        bodies, details = lists[place]
        bodies.append(body)
        if details is not None:
            details.append(detail)
    return found
