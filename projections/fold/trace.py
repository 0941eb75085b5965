"""What follows from the changes of rows: while records are folded, the functions that emit see each row before and after. Pure.

A traced handler is called like the plain one. So what is derived from a record depends on its row alone, not on the batch; and a record
whose emitting function raises is parked like one whose handler does. Ids follow from the id of the cause, so that every generation, and
every repetition of a batch that was rolled back, derives the same events under the same ids.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast
from uuid import UUID, uuid5

from eventstore.codec import decode, encode
from eventstore.errors import UsageError
from eventstore.event import fields_of
from eventstore.log.wire import REPEATED
from eventstore.source import Record
from projections.control.outbox import Derived
from projections.declaration.emission import Emission
from projections.fold.route import ADDS
from projections.fold.step import Plan, Step, make_rows

_FIXED: Final = frozenset({str, int, float, bool, bytes, types.NoneType, Decimal, UUID, datetime, date, time, timedelta})
_IDS: Final = UUID("0d8f2f5c-2a55-5b0e-9a2b-64b1d3b0c7de")


class Fact(NamedTuple):
    """An event that follows from *record*: its type, its schema version, its data as JSON."""

    record: Record
    kind: str
    version: int
    data: Any


class Tracer:
    """Collects what follows from the records that are folded, in their order, until somebody takes it."""

    def __init__(self, emissions: Sequence[Emission]) -> None:
        self.facts: list[Fact] = []
        self._by_table: dict[str, list[Emission]] = {}
        for each in emissions:
            self._by_table.setdefault(each.table.name, []).append(each)

    @property
    def is_bound(self) -> bool:
        """Whether anything emits."""
        return bool(self._by_table)

    def trace(self, plan: Plan) -> None:
        """Let the handlers of *plan* that change rows of emitting tables be watched; call it once a plan."""
        if self._by_table:
            plan.steps[:] = [
                self._watch(plan.records, each) if each[1].table.name in self._by_table else each for each in plan.steps
            ]

    def take_back(self, record: Record) -> None:
        """Forget what followed from *record*, the last one that was folded, because it failed."""
        while self.facts and _place(self.facts[-1]) == (record.partition, record.offset):
            self.facts.pop()

    def take(self) -> list[Fact]:
        """Give what was collected, and begin anew."""
        taken, self.facts = self.facts, []
        return taken

    def _watch(self, records: Sequence[Record], step: Step) -> Step:
        index, sheet, function, key, body, detail = step
        emissions, record = self._by_table[sheet.table.name], records[index]

        def watch(body: Any, row: Any, *detail: Any) -> Any:
            before = _keep(row)
            made: Any = function(body, row, *detail)
            self._collect(record, emissions, before, made, body)
            return made

        def watch_added(body: Any, *detail: Any) -> Any:
            made = make_rows(function, body, *(detail or (None,)))
            for row in made:
                self._collect(record, emissions, None, row, body)
            return list(made)

        return index, sheet, watch_added if key is ADDS else watch, key, body, detail

    def _collect(self, record: Record, emissions: Sequence[Emission], before: Any, after: Any, cause: Any) -> None:
        for each in emissions:
            made = each.function(before, after, cause) if each.detailed else each.function(before, after)
            for event in made if type(made) is list else () if made is None else (made,):  # pyright: ignore[reportUnknownVariableType]
                kind = each.kinds.get(type(event))  # pyright: ignore[reportUnknownArgumentType]
                if kind is None:
                    raise UsageError(
                        f"{each.function.__qualname__} gave {event!r}, and table {each.table.name!r} does not say so in emits"
                    )
                self.facts.append(Fact(record, kind.name, kind.version, decode(encode(fields_of(event)))))  # pyright: ignore[reportUnknownArgumentType]


def _keep(row: Any) -> Any:
    """Give *row* as it is now, whatever its handler does to it."""
    if row is None:
        return None
    return _find_keeper(cast("type[Any]", type(row)))(row)


@functools.lru_cache(maxsize=1024)
def _find_keeper(kind: type[Any]) -> Callable[[Any], Any]:
    """Give what keeps rows of *kind*: nothing to do for frozen ones, and a deep copy, ten times as slow, only if a value can change."""
    parameters = getattr(kind, "__dataclass_params__", None)
    if parameters is not None and parameters.frozen:
        return lambda row: row
    if parameters is None or not _is_flat(kind):
        return copy.deepcopy
    names, make = [each.name for each in dataclasses.fields(kind)], object.__new__

    def keep(row: Any) -> Any:
        kept = make(kind)
        for name in names:
            setattr(kept, name, getattr(row, name))
        return kept

    return keep


def _is_flat(kind: type[Any]) -> bool:
    try:
        return all(map(_is_fixed, typing.get_type_hints(kind).values()))
    except NameError:
        return False


def _is_fixed(hint: Any) -> bool:
    """Say whether no value of *hint* can change."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return all(map(_is_fixed, typing.get_args(hint)))
    return hint in _FIXED


def name_fact(projection: str, cause: str, ordinal: int) -> UUID:
    """Give the id of the *ordinal*th event that *projection* derives from the event *cause*: the same in every generation."""
    return uuid5(_IDS, f"{projection}/{cause}/{ordinal}")


def write_facts(facts: Sequence[Fact], projection: str, source: str, next_number: Mapping[int, int]) -> list[Derived]:
    """Write the documents of *facts*, which *projection* derived, numbered on by partition; *source* names the generation."""
    numbers = dict(next_number)
    made: list[Derived] = []
    cause: dict[str, Any] = {}
    ordinal = 0
    for at, fact in enumerate(facts):
        record, place = fact.record, _place(fact)
        is_next = at > 0 and _place(facts[at - 1]) == place
        ordinal = ordinal + 1 if is_next else 0
        cause = cause if is_next else decode(record.value or b"")
        number = numbers.get(record.partition, 1)
        numbers[record.partition] = number + 1
        document = {
            **_describe(fact, cause),
            "id": str(name_fact(projection, cause["id"], ordinal)),
            "source": source,
            "streamversion": number,
            "derivedfrom": f"{record.topic}/{record.partition}/{record.offset}/{ordinal}",
            "derivedlast": at + 1 == len(facts) or _place(facts[at + 1]) != place,
        }
        made.append(Derived(record.partition, number, record.timestamp, cause["subject"].encode(), encode(document)))
    return made


def _place(fact: Fact) -> tuple[int, int]:
    return fact.record.partition, fact.record.offset


def _describe(fact: Fact, cause: Mapping[str, Any]) -> dict[str, Any]:
    """Give what does not depend on the generation: stream, position and times of the cause, and what tracing goes on with."""
    given: dict[str, Any] = cause.get("metadata") or {}
    metadata: dict[str, Any] = {each: given[each] for each in REPEATED if isinstance(given.get(each), str)}
    metadata["causationid"] = cause["id"]
    return {
        "specversion": "1.0",
        "type": fact.kind,
        "subject": cause["subject"],
        "time": cause.get("time", cause["recordedat"]),
        "datacontenttype": "application/json",
        "schemaversion": fact.version,
        "position": cause["position"],
        "recordedat": cause["recordedat"],
        **metadata,
        "metadata": metadata,
        "data": fact.data,
    }
