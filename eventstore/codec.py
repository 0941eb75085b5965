"""JSON in and out: the only door of orjson.

`encode` writes compact UTF-8 and knows what event fields commonly hold: dates and times (ISO 8601, UTC as `Z`), UUID, `Decimal`
(as a string, so that no digit is lost), enums, sets (sorted), bytes (base64), dataclasses. A local time of before about 1900,
whose offset has seconds, is written in UTC: RFC 3339 and its readers know no such offset. `decode` is orjson's.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import orjson

from eventstore.errors import UndecodableRecord

loads: Callable[[bytes | bytearray | memoryview | str], Any] = orjson.loads
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME  # it rounds offsets to minutes
_ZERO = timedelta(0)
_MINUTE = timedelta(minutes=1)


def _default(value: object) -> object:
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date) or (isinstance(value, time) and value.tzinfo is None):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()  # pyright: ignore[reportUnknownArgumentType]
    raise TypeError(f"{type(value).__name__} has no JSON form; use a field type that eventstore.codec knows")


def _moment(value: datetime) -> str:
    if value.tzinfo is not UTC and (offset := value.utcoffset()) != _ZERO:
        if offset is None or not offset % _MINUTE:
            return value.isoformat()
        value = value.astimezone(UTC)
    return value.isoformat()[: -len("+00:00")] + "Z"


def _write(value: object, options: int) -> bytes:
    try:
        return orjson.dumps(value, default=_default, option=options)
    except orjson.JSONEncodeError as error:
        raise TypeError(str(error.__cause__ or error)) from error


def encode(value: object) -> bytes:
    """Write *value* as compact JSON. Raises TypeError for a type that has no JSON form here."""
    return _write(value, _OPTIONS)


def encode_sorted(value: object) -> bytes:
    """Write *value* with sorted keys, so that equal values give equal bytes (fingerprints, digests)."""
    return _write(value, _OPTIONS | orjson.OPT_SORT_KEYS)


def encode_indented(value: object) -> bytes:
    """Write *value* over several lines, for people and for files that are compared."""
    return _write(value, _OPTIONS | orjson.OPT_INDENT_2)


def decode(document: bytes | str) -> Any:
    """Read one JSON document. Raises UndecodableRecord with the position of the first wrong byte."""
    try:
        return loads(document)
    except orjson.JSONDecodeError as error:
        head = bytes(document[:40]) if isinstance(document, bytes) else document[:40].encode()
        raise UndecodableRecord(
            f"not JSON: {error}; it starts with {head!r}. The record can be parked and read again after a fix."
        ) from error
