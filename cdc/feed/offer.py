"""What of a table a client may see. Pure.

Columns are masked and tenants separated here, before anything is put on a wire; a change whose tenant can't be told is for nobody.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from math import isfinite
from typing import Any, cast

from cdc.capture import CapturedTable
from cdc.change import UNCHANGED, Change
from eventstore.codec import encode
from eventstore.errors import UsageError

EXACT = 2**53
"""Larger numbers lose digits in a browser, so they are sent as text."""
_WORDS = {"c": "inserted", "r": "read", "u": "updated", "d": "deleted", "t": "truncated"}


@dataclass(frozen=True, slots=True)
class Offer:
    """A table that clients may follow.

    *columns*: which they see (None = all), without those that are *hidden*; key columns that they don't see are left out of the key too.
    *tenant*: the column that says whose a row is. It must belong to the primary key, or the table be captured with `full=True`, because a
    delete says nothing else.
    """

    source: CapturedTable
    columns: tuple[str, ...] | None = None
    hidden: tuple[str, ...] = ()
    tenant: str | None = None

    def __post_init__(self) -> None:
        both = {*(self.columns or ())} & {*self.hidden}
        if both:
            raise UsageError(f"{self.source.table}: {', '.join(sorted(both))} can't be both shown and hidden")

    def show(self, change: Change) -> list[tuple[str | None, bytes]]:
        """Give what is said of *change*, and to the clients of which tenant; without a tenant column None stands for everybody.

        A row that goes from one tenant to another is deleted for the one and inserted for the other.
        """
        if change.op not in _WORDS:
            return []
        if self.tenant is None or change.op == "t":
            return [(None, self._write(change, change.op, change.row))]
        after, before = self._whose(change.row), self._whose(change.before or {})
        if before is not None and after is not None and before != after:
            return [(before, self._write(change, "d", change.before or {})), (after, self._write(change, "c", change.row))]
        owner = after if after is not None else before
        return [] if owner is None else [(owner, self._write(change, change.op, change.row))]

    def _whose(self, row: Mapping[str, Any]) -> str | None:
        value = row.get(cast("str", self.tenant))
        return None if value is None or value is UNCHANGED else str(value)

    def _write(self, change: Change, op: str, row: Mapping[str, Any]) -> bytes:
        key = {name: value for name, value in zip(change.key_names, change.key, strict=True) if self._is_shown(name)}
        shown: dict[str, Any] = {} if op in "dt" else {name: value for name, value in row.items() if self._is_shown(name)}
        unchanged = [name for name, value in shown.items() if value is UNCHANGED]
        document: dict[str, Any] = {
            "table": change.table,
            "op": _WORDS[op],
            "key": simplify(key),
            "row": None if op in "dt" else simplify({name: shown[name] for name in shown if name not in unchanged}),
            "at": change.source.committed_at.isoformat(),
        }
        return encode(document | {"unchanged": unchanged} if unchanged else document)

    def _is_shown(self, name: str) -> bool:
        return name not in self.hidden and (self.columns is None or name in self.columns)


def simplify(value: Any) -> Any:
    """Bring a value to JSON that a browser reads without loss: large and exact numbers, times and ranges as text, bytes as base64."""
    if isinstance(value, Mapping):
        return {str(name): simplify(each) for name, each in cast("Mapping[Any, Any]", value).items()}
    if type(value) in (list, tuple):
        return [simplify(each) for each in cast("Sequence[Any]", value)]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else _simplify_scalar(value)


def _simplify_scalar(value: Any) -> Any:
    if value is None or type(value) in (bool, str):
        return value
    if type(value) is int:
        return value if -EXACT <= value <= EXACT else str(value)
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() else str(value)
    return value.isoformat() if isinstance(value, (date, time)) else str(value)
