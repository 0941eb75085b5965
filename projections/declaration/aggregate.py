"""Aggregates that are declared instead of written: what they are, how they fold one event, how two parts of a fold join. Pure.

    totals = revenue.aggregate(OrderPlaced, by="customer", cents=Sum("cents"), orders=Count(), latest=Last("placed_at"))

Each gives columns of the row. Every result is the same for every order of events: a sum is exact (so floats, whose sum depends on the
order, are refused), the first and the last value are those of the lowest and highest position in the store, equal decimals of
different precision are told apart. Values that are None are passed over. That is what lets a rebuild fold whole columns of an archive
(`projections.vectors`) and go on event by event. A fold names its aggregate (`self`), so that fingerprints tell a minimum from a maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Any, ClassVar, Final
from uuid import UUID

from eventstore.errors import UsageError
from eventstore.stream import Position
from projections.declaration.sketch import add_hash, estimate, hash_value, merge

EXACT: Final = Context(prec=2_000, Emax=10_000, Emin=-10_000, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
ZERO: Final[dict[type, Any]] = {int: 0, Decimal: Decimal(0)}
ORDERED: Final = (int, float, str, Decimal, datetime, date)
PLAIN: Final = (*ORDERED, bool, UUID)
Columns = list[tuple[str, Any, Any]]
"""Name, type and default of the columns that an aggregate has in the row."""
Fold = Callable[[Any, Any, Any], None]
"""Folds (row, event, document of the event) into the row."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What all aggregates share: *field* is the event's field that they are made of."""

    field: str | None
    takes: ClassVar[Sequence[type]] = PLAIN

    def columns(self, name: str, kind: Any) -> Columns:
        """Give the columns of an aggregate called *name* over values of type *kind*."""
        raise NotImplementedError

    def make_fold(self, name: str, kind: Any) -> Fold:
        """Give the function that folds one event."""
        raise NotImplementedError

    def join(self, name: str, row: Any, other: Any) -> None:
        """Fold what *other* holds of further events into *row*."""
        raise NotImplementedError

    def check(self, name: str, kind: Any) -> None:
        """Raise UsageError for values of a type that this aggregate can't take."""
        if self.field is not None and kind not in self.takes:
            named = ", ".join(each.__name__ for each in self.takes)
            why = "; the sum of floats depends on their order, so use Decimal, or whole numbers of the smallest unit" * (
                kind is float
            )
            raise UsageError(
                f"{name}={type(self).__name__}({self.field!r}): takes {named}, and {self.field} is {kind}{why}. "
                "Write a handler with @table.on for anything else."
            )


@dataclass(frozen=True, slots=True)
class Count(Aggregate):
    """How many events; with *field*, how many whose field is not None."""

    field: str | None = None

    def columns(self, name: str, kind: Any) -> Columns:  # noqa: ARG002 - the contract of all
        """Give one number."""
        return [(name, int, 0)]

    def make_fold(self, name: str, kind: Any) -> Fold:  # noqa: ARG002 - the contract of all
        """Add one."""
        field = self.field

        def count(row: Any, event: Any, _: Any) -> None:
            if field is None or getattr(event, field) is not None:
                setattr(row, name, getattr(row, name) + 1)

        return count

    def join(self, name: str, row: Any, other: Any) -> None:
        """Add up."""
        setattr(row, name, getattr(row, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Sum(Aggregate):
    """The sum of whole numbers or decimals; 0 of none."""

    field: str
    takes = (int, Decimal)

    def columns(self, name: str, kind: Any) -> Columns:
        """Give one number."""
        return [(name, kind, ZERO.get(kind, 0))]

    def make_fold(self, name: str, kind: Any) -> Fold:
        """Add, exactly."""
        field, add = self.field, EXACT.add if kind is Decimal else int.__add__

        def total(row: Any, event: Any, _: Any) -> None:
            value = getattr(event, field)
            if value is not None:
                setattr(row, name, add(getattr(row, name), value))

        return total

    def join(self, name: str, row: Any, other: Any) -> None:
        """Add up."""
        first, second = getattr(row, name), getattr(other, name)
        setattr(row, name, EXACT.add(first, second) if isinstance(first, Decimal) else first + second)


@dataclass(frozen=True, slots=True)
class Min(Aggregate):
    """The least value; None of none. Of equal decimals, the one with more digits."""

    field: str
    takes = ORDERED
    largest: ClassVar[bool] = False

    def columns(self, name: str, kind: Any) -> Columns:
        """Give one value."""
        return [(name, kind | None, None)]

    def make_fold(self, name: str, kind: Any) -> Fold:  # noqa: ARG002 - the contract of all
        """Keep the better one."""
        field = self.field

        def extreme(row: Any, event: Any, _: Any) -> None:
            value = getattr(event, field)
            if value is not None:
                setattr(row, name, self._choose(getattr(row, name), level(value)))

        return extreme

    def join(self, name: str, row: Any, other: Any) -> None:
        """Keep the better one."""
        if (value := getattr(other, name)) is not None:
            setattr(row, name, self._choose(getattr(row, name), value))

    def _choose(self, known: Any, value: Any) -> Any:
        if known is None:
            return value
        if known == value:
            return value if isinstance(value, Decimal) and _digits(value) > _digits(known) else known
        return value if (value > known) is self.largest else known


@dataclass(frozen=True, slots=True)
class Max(Min):
    """The greatest value; None of none. Of equal decimals, the one with more digits."""

    largest: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Last(Aggregate):
    """The value of the event with the highest position; `NAME_position` says which one it was."""

    field: str
    latest: ClassVar[bool] = True

    def columns(self, name: str, kind: Any) -> Columns:
        """Give the value, and where it came from."""
        return [(name, kind | None, None), (f"{name}_position", str | None, None)]

    def make_fold(self, name: str, kind: Any) -> Fold:  # noqa: ARG002 - the contract of all
        """Keep the value of the later event, or of the earlier one."""
        field, place = self.field, f"{name}_position"

        def latest(row: Any, event: Any, document: Any) -> None:
            value = getattr(event, field)
            if value is not None and self._is_better(document["position"], getattr(row, place)):
                setattr(row, name, value)
                setattr(row, place, str(Position.parse(document["position"])))

        return latest

    def join(self, name: str, row: Any, other: Any) -> None:
        """Keep the value of the later event, or of the earlier one."""
        place = f"{name}_position"
        position = getattr(other, place)
        if position is not None and self._is_better(position, getattr(row, place)):
            setattr(row, name, getattr(other, name))
            setattr(row, place, position)

    def _is_better(self, position: str, known: str | None) -> bool:
        if known is None:
            return True
        one, other = Position.parse(position), Position.parse(known)
        return one > other if self.latest else one < other


@dataclass(frozen=True, slots=True)
class First(Last):
    """The value of the event with the lowest position; `NAME_position` says which one it was."""

    latest: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Distinct(Aggregate):
    """How many different values: exact up to 128, then within about 2 %; `NAME_sketch` is what it is counted by."""

    field: str

    def columns(self, name: str, kind: Any) -> Columns:  # noqa: ARG002 - the contract of all
        """Give the count, and the sketch behind it."""
        return [(name, int, 0), (f"{name}_sketch", bytes, b"")]

    def make_fold(self, name: str, kind: Any) -> Fold:  # noqa: ARG002 - the contract of all
        """Put the value into the sketch, and count anew if that changed it."""
        field, place = self.field, f"{name}_sketch"

        def distinct(row: Any, event: Any, _: Any) -> None:
            value = getattr(event, field)
            if value is not None:
                known = getattr(row, place)
                made = add_hash(known, hash_value(spell(value)))
                if made is not known:
                    setattr(row, place, made)
                    setattr(row, name, estimate(made))

        return distinct

    def join(self, name: str, row: Any, other: Any) -> None:
        """Merge the sketches."""
        made = merge(getattr(row, f"{name}_sketch"), getattr(other, f"{name}_sketch"))
        setattr(row, f"{name}_sketch", made)
        setattr(row, name, estimate(made))


def level(value: Any) -> Any:
    """Give *value* without the sign of a zero, which no comparison sees."""
    if isinstance(value, float):
        return value + 0.0
    return EXACT.plus(value) if isinstance(value, Decimal) else value


def spell(value: Any) -> str:
    """Write a value so that equal values have equal texts."""
    if isinstance(value, Decimal):
        return format(level(value).normalize(EXACT), "f")
    if isinstance(value, float):
        return repr(value + 0.0)
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    return str(value)


def _digits(value: Decimal) -> int:
    return -int(value.as_tuple().exponent)
