"""A read model's table, declared by the class of its row.

One declaration serves the fold (rows are plain slotted dataclasses, fast to change), the database (columns, key, indexes) and the
web app (`Table.table` is a SQLAlchemy table for `select()`). Its schema is the projection's name in snake case: readers translate
it to the schema of the live generation, workers to the one they build.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from eventstore.errors import UsageError
from eventstore.privacy.marker import is_redacted

R = TypeVar("R")
_COLUMN_TYPES: dict[Any, Callable[[], sa.types.TypeEngine[Any]]] = {
    bool: sa.Boolean,
    int: sa.BigInteger,
    float: sa.Double,
    str: sa.Text,
    bytes: sa.LargeBinary,
    Decimal: sa.Numeric,
    UUID: sa.Uuid,
    date: sa.Date,
    time: sa.Time,
    timedelta: sa.Interval,
    datetime: lambda: sa.DateTime(timezone=True),
    dict: postgresql.JSONB,
    list: postgresql.JSONB,
}


class RefusedValue(ValueError):
    """PostgreSQL would refuse a row; *plain* says so without the value, where that may be personal."""

    def __init__(self, message: str, plain: str) -> None:
        super().__init__(message)
        self.plain = plain


_ACCEPTED: dict[Any, Any] = {float: (float, int), Decimal: (Decimal, int)}
_BITS: dict[Any, int] = {sa.SmallInteger: 16, sa.Integer: 32, sa.BigInteger: 64}


class Table(Generic[R]):
    """One table of a projection: rows of dataclass *row*, unique by *key* (column names in order).

    *tenant* names the column that says whose a row is. It comes first in the key, so that equal keys of two tenants never meet, and
    row-level security goes by it.
    """

    def __init__(
        self,
        row: type[R],
        *,
        key: str | Sequence[str],
        metadata: sa.MetaData,
        name: str | None = None,
        indexes: Sequence[Sequence[str]] = (),
        tenant: str | None = None,
    ) -> None:
        if not dataclasses.is_dataclass(row):
            raise UsageError(f"{row.__name__} must be a dataclass: decorate it with @dataclass(slots=True)")
        self.row = row
        self.name = name or snake(row.__name__)
        given = (key,) if isinstance(key, str) else tuple(key)
        self.tenant = tenant
        self.key: tuple[str, ...] = given if tenant is None or tenant in given else (tenant, *given)
        self.columns: tuple[str, ...] = tuple(each.name for each in dataclasses.fields(row))
        self._check_key()
        self._kinds: dict[str, Any] = {}
        self.table = sa.Table(self.name, metadata, *self._make_columns())
        self.indexes = [sa.Index(f"{self.name}_{'_'.join(each)}", *(self.table.c[name] for name in each)) for each in indexes]
        self.key_of: Callable[[R], Any] = attrgetter(*self.key)
        self._getter = attrgetter(*self.columns)

    def __repr__(self) -> str:
        return f"Table({self.name}, key={self.key})"

    @property
    def has_single_key(self) -> bool:
        """True when a row's key is one plain value rather than a tuple."""
        return len(self.key) == 1

    def kind(self, column: str) -> type:
        """Give the Python type of the values of *column*; object where only its SQL type is known."""
        kind = self._kinds[column]
        return kind[0] if isinstance(kind, tuple) else kind  # pyright: ignore[reportUnknownVariableType]

    def values(self, row: R) -> tuple[Any, ...]:
        """Give the row's values in column order."""
        values = self._getter(row)
        return values if len(self.columns) > 1 else (values,)

    def plain_values(self, row: R) -> tuple[Any, ...]:
        """Give the same with None for what was redacted, where the column takes None and can't hold the text that stands for it."""
        values = self.values(row)
        if not any(map(is_redacted, values)):
            return values
        return tuple(self._plain(name, value) for name, value in zip(self.columns, values, strict=True))

    def _plain(self, name: str, value: Any) -> Any:
        void = is_redacted(value) and self._kinds[name] is not str and self.table.c[name].nullable
        return None if void else value

    def check(self, row: R, key: Any) -> None:
        """Raise ValueError that names the column which PostgreSQL would refuse, or if *row* does not lie under *key*.

        Too slow for every row; a careful fold asks, to find the record that spoils a batch.
        """
        for name, value in zip(self.columns, self.plain_values(row), strict=True):
            column = self.table.c[name]
            if value is None and not column.nullable:
                raise ValueError(f"{self.name}.{name} is None, but {self.row.__name__} does not allow that")
            if value is not None and (why := _refuse(value, self._kinds[name], column.type)):
                raise RefusedValue(f"{self.name}.{name} is {str(value)[:60]!r}: {why}", f"{self.name}.{name}: {why}")
        if self.key_of(row) != key:
            raise RefusedValue(
                f"a row of {self.name} came back under key {self.key_of(row)!r} instead of {key!r}",
                f"a row of {self.name} came back under another key",
            )

    def refuse_key(self, key: Any) -> ValueError | None:
        """Say why PostgreSQL would refuse to look for a row under *key*; None = it would not. Slow as `check` is."""
        parts: tuple[Any, ...] = (key,) if self.has_single_key or type(key) is not tuple else key  # pyright: ignore[reportUnknownVariableType]
        if len(parts) != len(self.key):
            return RefusedValue(
                f"{self.name}: {key!r} is no key of {self.key}", f"{self.name}: a key of {self.key} has other parts"
            )
        for name, value in zip(self.key, parts, strict=True):
            if why := _refuse(value, self._kinds[name], self.table.c[name].type):
                return RefusedValue(f"{self.name}.{name} is {str(value)[:60]!r}: {why}", f"{self.name}.{name}: {why}")
        return None

    def ddl(self) -> list[str]:
        """Give the statements that make the table, for the fingerprint."""
        dialect = postgresql.dialect()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        statements = [CreateTable(self.table, include_foreign_key_constraints=()), *map(CreateIndex, self.indexes)]
        return [str(each.compile(dialect=dialect)).strip() for each in statements]  # pyright: ignore[reportUnknownArgumentType]

    def ddl_in(self, schema: str) -> str:
        """Give the statement that makes the table, its indexes left out, in *schema* if it is not there."""
        elsewhere = self.table.to_metadata(sa.MetaData(), schema=schema)
        dialect = postgresql.dialect()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return str(CreateTable(elsewhere, if_not_exists=True).compile(dialect=dialect))  # pyright: ignore[reportUnknownArgumentType]

    def sql_types(self) -> list[str]:
        """Give the PostgreSQL type of each column, in order."""
        dialect = postgresql.dialect()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return [self.table.c[each].type.compile(dialect=dialect).lower() for each in self.columns]  # pyright: ignore[reportUnknownArgumentType]

    def _check_key(self) -> None:
        if self.tenant is not None and self.key[0] != self.tenant:
            raise UsageError(
                f"table {self.name!r}: its tenant column {self.tenant!r} must come first in the key, or be left out there"
            )
        missing = [each for each in self.key if each not in self.columns]
        if missing or not self.key:
            raise UsageError(
                f"table {self.name!r}: key column {missing or '()'} is no field of {self.row.__name__} {self.columns}"
            )

    def _make_columns(self) -> list[sa.Column[Any]]:
        hints = typing.get_type_hints(self.row, include_extras=True)
        return [self._make_column(name, hints[name]) for name in self.columns]

    def _make_column(self, name: str, annotation: Any) -> sa.Column[Any]:
        kind, nullable, remarks = _unwrap(annotation)
        given = next((each for each in remarks if _is_sql_type(each)), None)
        origin = typing.get_origin(kind)
        plain = origin if isinstance(origin, type) else kind
        self._kinds[name] = _ACCEPTED.get(plain, plain) if plain in _COLUMN_TYPES else object
        make = given or _COLUMN_TYPES.get(plain)
        if make is None:
            raise UsageError(
                f"{self.row.__name__}.{name}: no column type for {annotation!r}; use one of "
                f"{', '.join(each.__name__ for each in _COLUMN_TYPES)} or Annotated[..., a SQLAlchemy type]"
            )
        if nullable and name in self.key:
            raise UsageError(f"{self.row.__name__}.{name}: a column of the key can't be None; annotate it with {kind!r} alone")
        kind_of_column: Any = make() if callable(make) else make
        return sa.Column(name, kind_of_column, primary_key=name in self.key, nullable=nullable, autoincrement=False)


def snake(name: str) -> str:
    """Write `DelayByHour` or `delay-by-hour` as `delay_by_hour`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]", "_", name).lower()


def _refuse(value: Any, kind: Any, column: sa.types.TypeEngine[Any]) -> str | None:
    """Say why PostgreSQL would refuse *value*; None = it would not, as far as can be told here."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        return f"a {type(value).__name__} is no {getattr(kind, '__name__', kind)}"
    if isinstance(value, int) and (bits := _BITS.get(type(column))) and not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        return f"it does not fit {bits} bits"
    if isinstance(value, (dict, list)):
        try:
            return "it holds a NUL character" if "\\u0000" in json.dumps(value) else None
        except (TypeError, ValueError) as error:
            return str(error)
    if isinstance(value, str):
        limit = getattr(column, "length", None)
        return (
            "it holds a NUL character"
            if "\0" in value
            else f"it is longer than {limit}"
            if limit and len(value) > limit
            else None
        )
    return None


def _is_sql_type(value: Any) -> bool:
    return isinstance(value, sa.types.TypeEngine) or (isinstance(value, type) and issubclass(value, sa.types.TypeEngine))


def _unwrap(annotation: Any) -> tuple[Any, bool, list[Any]]:
    """Take `| None` and `Annotated` off, in whichever order they were put on: the type, whether it takes None, the remarks."""
    if typing.get_origin(annotation) is typing.Annotated:
        kind, nullable, remarks = _unwrap(annotation.__origin__)
        return kind, nullable, [*annotation.__metadata__, *remarks]
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        members = [each for each in typing.get_args(annotation) if each is not type(None)]
        if len(members) == 1:
            kind, _, remarks = _unwrap(members[0])
            return kind, True, remarks
    return annotation, False, []
