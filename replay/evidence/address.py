"""The address of a row as an operator types it, `customer=ada`: from words to a table and a key of the right types. Pure."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from eventstore.errors import UsageError
from eventstore.tenant import qualify
from projections.declaration.emission import DerivedSource
from projections.declaration.projection import EVENTS, Projection
from projections.declaration.table import Table


@dataclass(frozen=True, slots=True)
class Address:
    """One row: its table and its key, a plain value or a tuple as handlers give it."""

    table: Table[Any]
    key: Any

    def __str__(self) -> str:
        values = (self.key,) if self.table.has_single_key else self.key
        return " ".join([self.table.name, *(f"{name}={value}" for name, value in zip(self.table.key, values, strict=True))])

    @property
    def stream(self) -> str:
        """The stream that the row is folded from, where the row's key is the stream's name."""
        return qualify(*self.key) if self.table.tenant else str(self.key)


def parse_address(projection: Projection, pairs: Sequence[str], table: str | None = None) -> Address:
    """Read `column=value` *pairs*; *table* is needed where two tables have the same key columns.

    Raises UsageError that names the keys there are.
    """
    given = dict(_split(each) for each in pairs)
    found = [
        each
        for each in projection.tables
        if (table is None or each.name == table) and set(each.key) == set(given) and len(given) == len(pairs)
    ]
    if len(found) != 1:
        known = "; ".join(f"{each.name}: {' '.join(f'{name}=…' for name in each.key)}" for each in projection.tables)
        why = "fits several tables, so say --table" if found else "is no table's key"
        raise UsageError(f"{' '.join(pairs) or 'nothing'} {why} (tables of {projection.name}: {known})")
    hints = typing.get_type_hints(found[0].row)
    values = [_convert(name, given[name], hints[name]) for name in found[0].key]
    return Address(found[0], values[0] if found[0].has_single_key else tuple(values))


def is_streamed(projection: Projection, table: Table[Any]) -> bool:
    """Say whether each row of *table* is folded from the one stream that its key names, so that other streams need not be read.

    What is derived has the stream, and so the partition, of what it follows from.
    """
    mine = [each for each in projection.handlers if each.table is table]
    whole = table.has_single_key or (table.tenant is not None and len(table.key) == 2)
    streams = all(each.source is EVENTS or isinstance(each.source, DerivedSource) for each in mine)
    return whole and streams and bool(mine) and all(each.key is None and not each.adds for each in mine)


def is_written(projection: Projection, table: Table[Any]) -> bool:
    """Say whether the rows of *table* are written by SQL handlers, so that no key function tells which events made one."""
    return any(each is table for each in projection.free_tables)


def _split(pair: str) -> tuple[str, str]:
    name, sign, value = pair.partition("=")
    if not sign:
        raise UsageError(f"{pair!r}: write the row's key as column=value")
    return name, value


def _convert(name: str, text: str, kind: Any) -> Any:
    try:
        return text if kind is str else TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise UsageError(f"{name}={text}: {error.errors()[0]['msg']}") from None
