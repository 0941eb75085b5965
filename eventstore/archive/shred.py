"""From the fields of events to typed columns: `order-placed.cents` is one column of numbers instead of a text per event. Pure.

Beside the columns goes a *census*: for each type and schema version, of what kind each field's values are, how many are null and
how many are missing. It is taken of every value, so that whoever folds columns may rely on it instead of looking at each event
again; a field whose values are of several kinds, or nested, has no column and is read from the event itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

MOST_FIELDS: Final = 100
"""Fields of a type that get columns; an event with more of them uses names as values."""
MISSING: Final = object()
_INT64 = 1 << 63
_KINDS: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    dict: "object",
    list: "array",
    type(None): "null",
}
_PLAIN: Final = frozenset({"bool", "int", "float", "str"})
Census = dict[str, dict[str, dict[str, Any]]]


class Column(NamedTuple):
    """One field's values, aligned with the file's rows: *rows* are the indexes that have one."""

    name: str
    kind: str
    rows: Sequence[int]
    values: Sequence[Any]


class Fields:
    """The fields of the events of one type, collected event by event."""

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = {}
        self.data: dict[int, list[dict[str, Any]]] = {}

    def add(self, row: int, version: int, data: dict[str, Any]) -> None:
        """Take the *data* of the event in *row*, stored under schema *version*."""
        self.rows.setdefault(version, []).append(row)
        self.data.setdefault(version, []).append(data)


def shred(kinds: Mapping[str, Fields]) -> tuple[list[Column], Census]:
    """Give the columns and the census of the events of each type."""
    columns: list[Column] = []
    census: Census = {}
    for name, fields in sorted(kinds.items()):
        found = {version: _count(fields.data[version]) for version in sorted(fields.data)}
        census[name] = {str(version): {"rows": len(fields.rows[version]), "fields": each} for version, each in found.items()}
        columns += _make_columns(name, fields, found)
    return columns, census


def _count(data: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Take the census of events of one type and version."""
    names = sorted({name for each in data for name in each})
    found = {name: _describe([each.get(name, MISSING) for each in data]) for name in names}
    if len(names) > MOST_FIELDS:
        return {name: {**each, "kind": "mixed"} for name, each in found.items()}
    return {name: {**each, "kind": "mixed"} if "." in name else each for name, each in found.items()}


def _describe(values: Sequence[Any]) -> dict[str, Any]:
    present = [each for each in values if each is not MISSING]
    given = [each for each in present if each is not None]
    kinds = {_KINDS.get(each, "mixed") for each in set(map(type, given))}
    kind = "null" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"
    if kind == "int" and not all(-_INT64 <= each < _INT64 for each in given):
        kind = "mixed"
    found: dict[str, Any] = {"kind": kind, "nulls": len(present) - len(given), "missing": len(values) - len(present)}
    return found | (_find_form(given) if kind == "str" else {})


def _make_columns(name: str, fields: Fields, found: Mapping[int, Mapping[str, Any]]) -> list[Column]:
    columns: list[Column] = []
    for field in sorted({each for census in found.values() for each in census}):
        kinds = {census[field]["kind"] for census in found.values() if field in census} - {"null"}
        if len(kinds) == 1 and (kind := next(iter(kinds))) in _PLAIN:
            pairs = [
                (row, value)
                for version in found
                for row, each in zip(fields.rows[version], fields.data[version], strict=True)
                if (value := each.get(field)) is not None
            ]
            columns.append(Column(f"{name}.{field}", kind, [row for row, _ in pairs], [value for _, value in pairs]))
    return columns


_DECIMAL = re.compile(r"(?!-0(?:\.0*)?$)-?(?:0|[1-9]\d*)(?:\.\d+)?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:00)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_FORMS: tuple[tuple[str, re.Pattern[str], Callable[[str], Any] | None], ...] = (
    ("decimal", _DECIMAL, None),
    ("time", _TIME, datetime.fromisoformat),
    ("date", _DATE, date.fromisoformat),
    ("uuid", _UUID, None),
)


def _find_form(values: Sequence[str]) -> dict[str, Any]:
    """Say what all of these texts are: decimal numbers (with the most digits before and after the point), UTC times, days, UUIDs."""
    for form, pattern, read in _FORMS:
        if pattern.fullmatch(values[0]) and all(map(pattern.fullmatch, values)):
            if form == "decimal":
                parts = [each.lstrip("-").partition(".") for each in values]
                return {
                    "form": form,
                    "digits": [max(len(whole) for whole, _, _ in parts), max(len(rest) for _, _, rest in parts)],
                }
            return {"form": form} if form == "uuid" or (read and _reads(read, values)) else {}
    return {}


def _reads(read: Callable[[str], Any], values: Sequence[str]) -> bool:
    try:
        for each in values:
            read(each)
    except ValueError:
        return False
    return True
