"""JSON in and out: the only door of orjson.

`encode` writes compact UTF-8 and knows what event fields commonly hold: dates and times (ISO 8601, UTC as `Z`), UUID,
`Decimal` (as a string, so that no digit is lost), enums, sets (sorted), bytes (base64), dataclasses. `decode` is orjson's.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson

from eventstore.errors import UndecodableRecord

loads: Callable[[bytes | bytearray | memoryview | str], Any] = orjson.loads
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def _default(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()  # pyright: ignore[reportUnknownArgumentType]
    raise TypeError(f"{type(value).__name__} has no JSON form; use a field type that eventstore.codec knows")


def encode(value: object) -> bytes:
    """Write *value* as compact JSON. Raises TypeError for a type that has no JSON form here."""
    return orjson.dumps(value, default=_default, option=_OPTIONS)


def encode_sorted(value: object) -> bytes:
    """Write *value* with sorted keys, so that equal values give equal bytes (fingerprints, digests)."""
    return orjson.dumps(value, default=_default, option=_OPTIONS | orjson.OPT_SORT_KEYS)


def encode_indented(value: object) -> bytes:
    """Write *value* over several lines, for people and for files that are compared."""
    return orjson.dumps(value, default=_default, option=_OPTIONS | orjson.OPT_INDENT_2)


def decode(document: bytes | str) -> Any:
    """Read one JSON document. Raises UndecodableRecord with the position of the first wrong byte."""
    try:
        return loads(document)
    except orjson.JSONDecodeError as error:
        head = bytes(document[:40]) if isinstance(document, bytes) else document[:40].encode()
        raise UndecodableRecord(
            f"not JSON: {error}; it starts with {head!r}. The record can be parked and read again after a fix."
        ) from error
