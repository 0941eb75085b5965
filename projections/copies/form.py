"""A row as texts by column, and back: what copies hold, and by what two copies are compared. Pure.

Equal rows have equal texts, whether they come from a handler or from PostgreSQL: times are in UTC, decimals without trailing zeros, JSON
with sorted keys. A column that is None has no text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from eventstore.codec import decode, encode, encode_sorted
from projections.declaration.table import Table

R = TypeVar("R")
Texts = dict[str, str]
_MICROSECOND = timedelta(microseconds=1)
_WRITE: Final[Mapping[Any, Callable[[Any], str]]] = {
    bool: lambda value: "true" if value else "false",
    int: lambda value: str(int(value)),
    float: lambda value: repr(float(value)),
    str: str,
    bytes: lambda value: value.hex(),
    Decimal: lambda value: _write_decimal(Decimal(value)),
    UUID: str,
    date: lambda value: value.isoformat(),
    time: lambda value: value.isoformat(),
    timedelta: lambda value: str(value // _MICROSECOND),
    datetime: lambda value: (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)).isoformat(),
}
_READ: Final[Mapping[Any, Callable[[str], Any]]] = {
    bool: lambda text: text == "true",
    int: int,
    float: float,
    str: str,
    bytes: bytes.fromhex,
    Decimal: Decimal,
    UUID: UUID,
    date: date.fromisoformat,
    time: time.fromisoformat,
    timedelta: lambda text: int(text) * _MICROSECOND,
    datetime: datetime.fromisoformat,
}


class Sum(NamedTuple):
    """How many rows there are and the sum of their hashes, which does not depend on their order."""

    rows: int = 0
    digest: int = 0

    def add(self, texts: Texts) -> Sum:
        """Add a row."""
        hashed = hashlib.blake2b(encode_sorted(texts), digest_size=8).digest()
        return Sum(self.rows + 1, (self.digest + int.from_bytes(hashed, "big")) % (1 << 64))


class Form(Generic[R]):
    """The texts of one table's rows."""

    def __init__(self, table: Table[R]) -> None:
        self.table = table
        kinds = {each: table.kind(each) for each in table.columns}
        self._writers = [(name, _WRITE.get(kind, _write_json)) for name, kind in kinds.items()]
        self._readers = [(name, _READ.get(kind, decode)) for name, kind in kinds.items()]

    def texts(self, row: R) -> Texts:
        """Give the texts of *row*."""
        values = zip(self._writers, self.table.plain_values(row), strict=True)
        return {name: write(value) for (name, write), value in values if value is not None}

    def row(self, texts: Mapping[str, str]) -> R:
        """Make the row of *texts*."""
        make: Any = self.table.row
        return make(*(read(texts[name]) if name in texts else None for name, read in self._readers))

    def key(self, key: Any) -> str:
        """Give the text of a row's key: as it is when it is one column, else a JSON array of the columns' texts."""
        given: tuple[Any, ...] = (key,) if self.table.has_single_key else key
        parts = [_WRITE.get(self.table.kind(name), _write_json)(value) for name, value in zip(self.table.key, given, strict=True)]
        return parts[0] if len(parts) == 1 else encode(parts).decode()


def _write_decimal(value: Decimal) -> str:
    text = format(value, "f") if value else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _write_json(value: Any) -> str:
    return encode_sorted(value).decode()
