"""A declared aggregate as a whole: by what its events are grouped, the row that comes of it, and the handler that is derived. Pure."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from eventstore.errors import UsageError
from projections.declaration.aggregate import Aggregate, Fold

KEYS: Final = (int, str, bool, UUID, date, datetime)


@dataclass(frozen=True, slots=True)
class Field:
    """The value of a field."""

    name: str
    takes: typing.ClassVar[Sequence[type]] = KEYS

    @property
    def column(self) -> str:
        """How the column is called when nobody says otherwise."""
        return self.name

    def kind(self, given: Any) -> Any:
        """Give the type of the key for a field of type *given*."""
        return given

    def read(self, event: Any) -> Any:
        """Give the key of *event*; None = it belongs to no group."""
        return getattr(event, self.name)


@dataclass(frozen=True, slots=True)
class Day(Field):
    """The day of a time, in UTC."""

    takes = (datetime,)

    @property
    def column(self) -> str:
        """`placed_at_day`."""
        return f"{self.name}_day"

    def kind(self, given: Any) -> Any:  # noqa: ARG002 - the contract of all
        """Give a day."""
        return date

    def read(self, event: Any) -> Any:
        """Give the day. Raises ValueError for a time without a zone, which could be either of two days."""
        found = getattr(event, self.name)
        return None if found is None else _utc(found).date()


@dataclass(frozen=True, slots=True)
class Month(Day):
    """The first day of a time's month, in UTC."""

    @property
    def column(self) -> str:
        """`placed_at_month`."""
        return f"{self.name}_month"

    def read(self, event: Any) -> Any:
        """Give the first day of the month."""
        found = getattr(event, self.name)
        return None if found is None else _utc(found).date().replace(day=1)


@dataclass(frozen=True, slots=True)
class Hour(Field):
    """The beginning of a time's hour, in UTC."""

    takes = (datetime,)

    @property
    def column(self) -> str:
        """`placed_at_hour`."""
        return f"{self.name}_hour"

    def read(self, event: Any) -> Any:
        """Give the full hour."""
        found = getattr(event, self.name)
        return None if found is None else _utc(found).replace(minute=0, second=0, microsecond=0)


By = str | Field | Sequence[str | Field] | Mapping[str, str | Field] | None


@dataclass(frozen=True, slots=True)
class Grouping:
    """Events of *kinds*, grouped by *keys* (column name and expression; none = by stream), folded by *aggregates* into *row*s.

    *types* are the types of the fields that are used, by name.
    """

    kinds: Sequence[type]
    keys: Mapping[str, Field]
    aggregates: Mapping[str, Aggregate]
    types: Mapping[str, Any]
    row: type

    @property
    def by_stream(self) -> bool:
        """True when the stream's name is the key."""
        return not self.keys

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the key."""
        return tuple(self.keys) or ("stream",)

    def make_key(self) -> Callable[[Any], Any] | None:
        """Give the key function of the derived handler: None for an event that belongs to no group."""
        if self.by_stream:
            return None
        reads = [each.read for each in self.keys.values()]
        if len(reads) == 1:
            return reads[0]

        def read_all(event: Any) -> Any:
            found = tuple([read(event) for read in reads])
            return None if None in found else found

        return read_all

    def make_handler(self) -> Callable[[Any, Any, Any], Any]:
        """Give the handler: (event, row, document) -> row."""
        row_of, key_of, keys = self.row, self.make_key(), len(self.columns)
        folds: list[Fold] = [each.make_fold(name, self.types.get(each.field or "")) for name, each in self.aggregates.items()]

        def fold(event: Any, row: Any, document: Any) -> Any:
            if row is None:
                key = document["subject"] if key_of is None else key_of(event)
                if key is None:
                    return None
                row = row_of(*key) if keys > 1 else row_of(key)
            for each in folds:
                each(row, event, document)
            return row

        return fold

    def join(self, row: Any, other: Any) -> None:
        """Fold *other*, the row of further events of the same group, into *row*."""
        for name, each in self.aggregates.items():
            each.join(name, row, other)


def group(name: str, kinds: Sequence[type], by: By, aggregates: Mapping[str, Aggregate]) -> Grouping:
    """Make the grouping that is declared so. Raises UsageError for fields that are missing, differ, or can't be aggregated."""
    if not kinds or not aggregates:
        raise UsageError(f"aggregate {name!r}: give event classes and at least one aggregate, such as orders=Count()")
    keys = _name_keys(by)
    wanted = {each.name for each in keys.values()} | {each.field for each in aggregates.values() if each.field is not None}
    types_of = {field: _find_type(name, kinds, field) for field in sorted(wanted)}
    for column, each in keys.items():
        if types_of[each.name] not in each.takes:
            raise UsageError(f"aggregate {name!r}: {column} can't be a key: {each.name} is {types_of[each.name]}")
    columns: list[Any] = [(column, each.kind(types_of[each.name])) for column, each in keys.items()] or [("stream", str)]
    for called, each in aggregates.items():
        each.check(called, types_of.get(each.field or ""))
        columns += [(c, kind, dataclasses.field(default=default)) for c, kind, default in _columns(called, each, types_of)]
    if len({each[0] for each in columns}) < len(columns):
        raise UsageError(f"aggregate {name!r}: two columns have the same name; they are {', '.join(each[0] for each in columns)}")
    row = dataclasses.make_dataclass(_camel(name), columns, slots=True, namespace={"__module__": __name__})
    return Grouping(tuple(kinds), keys, dict(aggregates), types_of, row)


def _columns(name: str, aggregate: Aggregate, types_of: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return aggregate.columns(name, types_of.get(aggregate.field or ""))


def _name_keys(by: By) -> dict[str, Field]:
    if by is None:
        return {}
    if isinstance(by, Mapping):
        return {name: Field(each) if isinstance(each, str) else each for name, each in by.items()}
    given = [by] if isinstance(by, (str, Field)) else by
    fields = [Field(each) if isinstance(each, str) else each for each in given]
    return {each.column: each for each in fields}


def _find_type(name: str, kinds: Sequence[type], field: str) -> Any:
    """Give the type of *field*, which all *kinds* must agree on, without `| None`."""
    found: set[Any] = set()
    for kind in kinds:
        hints = typing.get_type_hints(kind)
        if field not in hints:
            raise UsageError(f"aggregate {name!r}: {kind.__name__} has no field {field!r}; it has {', '.join(hints)}")
        found.add(plain(hints[field])[0])
    if len(found) > 1:
        raise UsageError(f"aggregate {name!r}: field {field!r} is of several types: {', '.join(map(str, found))}")
    return found.pop()


def plain(hint: Any) -> tuple[Any, bool]:
    """Take `| None` off an annotation: the type, and whether it takes None."""
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        members = [each for each in typing.get_args(hint) if each is not type(None)]
        if len(members) == 1:
            return members[0], True
    return hint, hint is type(None)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError(f"{time.isoformat()} has no time zone, so its day and hour are open")
    return time.astimezone(UTC)
