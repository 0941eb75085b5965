"""What a grouping is in DuckDB's SQL: a query for each file that folds its events, and one that joins those folds. Pure.

Names of columns are quoted here; nothing else in these texts comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from eventstore.stream import Position
from projections.declaration.aggregate import EXACT, Aggregate, Count, Last, Min, Sum
from projections.declaration.grouping import Day, Field, Grouping, Hour, Month

ORDER: Final = "(xid::HUGEINT * 9223372036854775808 + sequence)"
"""The store's order as one number: the position's two parts side by side."""
_TYPES: dict[type, str] = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"}
Lift = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Result:
    """Columns of the row that belong together, and the parts that they are made of.

    *partial*: an expression over a file's columns for each part. *join*: given the names of the parts, an expression for each column
    over the parts of all files. *lifts*: what makes the column's values of DuckDB's, None = they are the same.
    """

    columns: Sequence[str]
    partial: Sequence[str]
    join: Callable[[Sequence[str]], Sequence[str]]
    lifts: Sequence[Lift | None]


def quote(name: str) -> str:
    """Quote an identifier."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def literal(text: str) -> str:
    """Quote a text."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def select(columns: Sequence[str], table: str, *, where: str = "", group: Sequence[str] = (), order: Sequence[str] = ()) -> str:
    """Compose a query."""
    clauses = [("WHERE", where), ("GROUP BY", ", ".join(group)), ("ORDER BY", ", ".join(order))]
    rest = "".join(f" {word} {text}" for word, text in clauses if text)
    return f"SELECT {', '.join(columns)} FROM {table}{rest}"  # noqa: S608 - composed of what is quoted here


class Source:
    """The columns of one event type in one file; those that are not in it are null throughout. *scale* is that of all decimals."""

    def __init__(self, name: str, columns: Sequence[str], scale: int) -> None:
        self.name = name
        self.scale = scale
        self._columns = frozenset(columns)

    def raw(self, field: str) -> str:
        """Give the column as it lies in the file."""
        column = f"{self.name}.{field}"
        return quote(column) if column in self._columns else "NULL::VARCHAR"

    def value(self, field: str, kind: Any) -> str:
        """Give the column as values that compare as the type's own do."""
        raw = self.raw(field)
        if kind is float:
            return f"(CAST({raw} AS DOUBLE) + 0.0)"
        if kind is Decimal:
            return f"CAST({raw} AS DECIMAL(38, {self.scale}))"
        if kind is datetime:
            return f"CAST({raw} AS TIMESTAMP)"
        if kind is date:
            return f"CAST({raw} AS DATE)"
        return f"CAST({raw} AS {_TYPES.get(kind, 'VARCHAR')})"


def express_keys(grouping: Grouping, source: Source) -> list[str]:
    """Give the expressions of the key's columns."""
    return [_express_key(each, source, grouping) for each in grouping.keys.values()] or ["stream"]


def _express_key(key: Field, source: Source, grouping: Grouping) -> str:
    value = source.value(key.name, grouping.types[key.name])
    if isinstance(key, Month):
        return f"CAST(date_trunc('month', {value}) AS DATE)"
    if isinstance(key, Day):
        return f"CAST({value} AS DATE)"
    return f"date_trunc('hour', {value})" if isinstance(key, Hour) else value


def lift_keys(grouping: Grouping) -> list[Lift | None]:
    """Give what makes the key's values of DuckDB's."""
    return [lift(each.kind(grouping.types[each.name])) for each in grouping.keys.values()] or [None]


def lift(kind: Any) -> Lift | None:
    """Give what makes a value of type *kind* of DuckDB's; None = it is the same."""
    return {datetime: _zone, UUID: UUID, Decimal: Decimal}.get(kind)


def express(name: str, aggregate: Aggregate, grouping: Grouping, source: Source) -> Result | None:
    """Give an aggregate's columns; None for Distinct, whose values are gathered one by one."""
    kind = grouping.types.get(aggregate.field or "")
    match aggregate:
        case Count(field):
            counted = "count(*)" if field is None else f"count({source.raw(field)})"
            return Result([name], [counted], lambda p: [f"CAST(sum({p[0]}) AS BIGINT)"], [None])
        case Sum(field):
            return _express_sum(name, source.raw(field), source.value(field, kind), kind)
        case Min(field):
            value = source.raw(field) if kind is Decimal else source.value(field, kind)
            return _express_extreme(name, value, "max" if aggregate.largest else "min", kind, source.scale)
        case Last(field):
            value = source.raw(field) if kind is Decimal else source.value(field, kind)
            return _express_last(name, value, "max" if aggregate.latest else "min", kind)
        case _:
            return None


def _express_sum(name: str, raw: str, value: str, kind: Any) -> Result:
    if kind is int:
        return Result([name], [f"sum({value})"], lambda p: [f"coalesce(sum({p[0]}), 0)"], [None])
    return Result(
        [name],
        [f"sum({value})", f"max({_digits(raw)})"],
        lambda p: [f"{{'v': coalesce(sum({p[0]}), 0), 's': coalesce(max({p[1]}), 0)}}"],
        [_round],
    )


def _express_extreme(name: str, value: str, function: str, kind: Any, scale: int) -> Result:
    """Compare decimals by value, then by their digits; the text of the chosen one keeps them."""
    sign = "" if function == "max" else "-"

    def choose(text: str) -> str:
        if kind is not Decimal:
            return f"{function}({text})"
        order = f"{{'v': CAST({text} AS DECIMAL(38, {scale})), 's': {sign}{_digits(text)}}}"
        return f"arg_{function}({text}, {order}) FILTER ({text} IS NOT NULL)"

    return Result([name], [choose(value)], lambda p: [choose(p[0])], [lift(kind)])


def _express_last(name: str, value: str, function: str, kind: Any) -> Result:
    given = f"FILTER ({value} IS NOT NULL)"
    return Result(
        [name, f"{name}_position"],
        [f"arg_{function}({value}, {ORDER}) {given}", f"{function}({ORDER}) {given}"],
        lambda p: [f"arg_{function}({p[0]}, {p[1]}) FILTER ({p[1]} IS NOT NULL)", f"{function}({p[1]})"],
        [lift(kind), _position],
    )


def _digits(text: str) -> str:
    return f"length(split_part({text}, '.', 2))"


def _zone(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def _round(found: Mapping[str, Any]) -> Decimal:
    return Decimal(found["v"]).quantize(Decimal(1).scaleb(-found["s"]), context=EXACT)


def _position(order: Any) -> str:
    return str(Position(int(order) >> 63, int(order) & ((1 << 63) - 1)))
