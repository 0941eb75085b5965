"""A row, or the key of one, as text and back without loss: what a projection keeps of rows that may go without a word.

Plain JSON where JSON has the value; everything else as `{"$": <its type>, "=": <what it is made of>}`. Equal keys give equal text.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, cast
from uuid import UUID

from cdc.change.change import Row
from cdc.change.interval import Interval
from cdc.change.range import Range
from cdc.change.sentinel import UNCHANGED, Beyond, Infinity, Unchanged
from cdc.change.shape import Box, Circle, Geometry, Line, Path, Point
from eventstore.codec import encode
from eventstore.errors import UndecodableRecord

_TYPE, _PARTS = "$", "="
_TEXTUAL: dict[type[Any], tuple[Callable[[Any], str], Callable[[Any], Any]]] = {
    Decimal: (str, Decimal),
    UUID: (str, UUID),
    datetime: (datetime.isoformat, datetime.fromisoformat),
    date: (date.isoformat, date.fromisoformat),
    time: (time.isoformat, time.fromisoformat),
    timedelta: (lambda value: str(value // timedelta(microseconds=1)), lambda text: timedelta(microseconds=int(text))),
    bytes: (bytes.hex, bytes.fromhex),
    Infinity: (str, Infinity),
    Beyond: (str, Beyond),
    Unchanged: (lambda _: "", lambda _: UNCHANGED),
    float: (repr, float),
    **{
        each: (str, each)
        for each in (
            ipaddress.IPv4Address,
            ipaddress.IPv6Address,
            ipaddress.IPv4Interface,
            ipaddress.IPv6Interface,
            ipaddress.IPv4Network,
            ipaddress.IPv6Network,
        )
    },
}
_MADE: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (Interval, Range, Point, Box, Path, Circle, Line, Geometry)
}
_NAMED = {each.__name__: each for each in _TEXTUAL}
_PLAIN = {str, int, bool, type(None)}


def write_row(row: Row) -> str:
    """Give *row* as text. Raises UndecodableRecord for a value of a type that no change holds."""
    if _PLAIN.issuperset(map(type, row.values())):
        with suppress(UnicodeEncodeError, TypeError):  # fast, but for integers beyond 64 bits and lone surrogates
            return encode(row).decode()
    return json.dumps({name: _write(value) for name, value in row.items()}, separators=(",", ":"), ensure_ascii=False)


def write_key(names: tuple[str, ...], key: tuple[Any, ...]) -> str:
    """Give the row of a key's parts as `write_row` gives it; most keys are one integer, for which that is a matter of two strings."""
    if len(key) == 1 and type(key[0]) is int:
        return f"{_open(names[0])}{key[0]}}}"
    return write_row(dict(zip(names, key, strict=False)))


@cache
def _open(name: str) -> str:
    return write_row({name: 0})[:-2]


def read_row(text: str) -> Row:
    """Read what `write_row` gave."""
    return _read_dict(json.loads(text))


def _read_dict(row: Row) -> Row:
    return {name: _read(value) for name, value in row.items()}


def _write(value: Any) -> Any:
    kind = cast("type[Any]", type(value))
    if kind in _PLAIN:
        return value
    if kind in _TEXTUAL:
        return {_TYPE: kind.__name__, _PARTS: _TEXTUAL[kind][0](value)}
    if kind is list:
        return [_write(each) for each in value]
    if kind is dict:
        return {_TYPE: "dict", _PARTS: {name: _write(each) for name, each in cast("dict[str, Any]", value).items()}}
    if kind is tuple:
        return {_TYPE: "tuple", _PARTS: [_write(each) for each in value]}
    if _MADE.get(kind.__name__) is kind:
        parts = [getattr(value, each.name) for each in fields(value)] if is_dataclass(value) else [*value]
        return {_TYPE: kind.__name__, _PARTS: [_write(each) for each in parts]}
    raise UndecodableRecord(f"a value of type {kind.__qualname__} can't be kept as text: {value!r:.80}")


def _read(value: Any) -> Any:
    if type(value) is list:
        return [_read(each) for each in cast("list[Any]", value)]
    if type(value) is not dict:
        return value
    noted = cast("dict[str, Any]", value)
    kind, parts = noted[_TYPE], noted[_PARTS]
    if kind == "dict":
        return _read_dict(parts)
    if kind == "tuple":
        return tuple(map(_read, parts))
    return _TEXTUAL[_NAMED[kind]][1](parts) if kind in _NAMED else _MADE[kind](*map(_read, parts))
