"""Column types declared by the reader, for topics written without schemas (`schemas.enable=false`).

A schemaless record does not say whether `"7Sl5"` is a word, a number or bytes; the declaration and the connector's modes do.
The defaults of `Modes` are what `cdc apply` configures. Prefer schemas: they follow an ALTER TABLE by themselves.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from cdc.change import component, moment, number, shape
from cdc.change.column import OTHER, TEXTUAL, Column, Step, decoded, each, read_json
from cdc.change.interval import read_duration, read_interval
from eventstore.errors import UsageError


@dataclass(frozen=True, slots=True)
class Modes:
    """The connector options that change how values are written: the `*.handling.mode` and `time.precision.mode` settings."""

    decimal: Literal["string", "precise", "double"] = "string"
    time: Literal[
        "microseconds", "adaptive", "adaptive_time_microseconds", "nanoseconds", "connect", "isostring", "structured"
    ] = "microseconds"
    interval: Literal["string", "numeric"] = "string"
    binary: Literal["bytes", "base64", "base64-url-safe", "hex"] = "bytes"
    hstore: Literal["json", "map"] = "json"


_ALIASES = {
    "smallint": "int2", "integer": "int4", "int": "int4", "bigint": "int8", "real": "float4", "double precision": "float8",
    "boolean": "bool", "decimal": "numeric", "character varying": "varchar", "character": "char", "bpchar": "char",
    "time without time zone": "time", "time with time zone": "timetz", "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz", "bit varying": "varbit", "serial": "int4", "bigserial": "int8",
}  # fmt: skip
_AS_SENT = (
    "bool", "int2", "int4", "int8", "oid", "char", "varchar", "text", "citext", "name", "xml", "ltree", "enum", "tsvector",
    "macaddr", "macaddr8",
)  # fmt: skip
_NESTED = ("hstore", "point", "circle", "line", "box", "lseg", "path", "polygon", "geometry", "geography")
_BYTES = ("bytea", "bit", "varbit", "numeric")
_FORM = re.compile(r"(_?)([a-z][a-z0-9_ ]*?)\s*(?:\(([\d, ]+)\)(.*?))?\s*((?:\[\])*)\Z")
_BINARY = {
    "bytes": number.read_bytes,
    "base64": number.read_bytes,
    "base64-url-safe": number.read_url_safe,
    "hex": number.read_hex,
}


def declare_columns(columns: Mapping[str, str], modes: Modes) -> dict[str, Column]:
    """Settle how each declared column is read. Raises UsageError for an unknown type."""
    return {name: _declare(name, text.strip().lower(), modes) for name, text in columns.items()}


def find_packing(modes: Modes) -> Step | None:
    """Give what reads bytes that *modes* write as text; None where they are written as bytes."""
    return None if modes.binary == "bytes" else _BINARY[modes.binary]


def _declare(column: str, text: str, modes: Modes) -> Column:
    match = _FORM.match(text)
    if match is None:
        raise UsageError(f"column {column}: {text!r} is not a PostgreSQL type", column=column)
    underscore, name, numbers, suffix, brackets = match.groups()
    name = f"{name} {(suffix or '').strip()}".strip()
    name = _ALIASES.get(name, name)
    known = _table(modes, [int(part) for part in (numbers or "").split(",") if part.strip()])
    if name not in known:
        close = difflib.get_close_matches(name, [*known, *_ALIASES], n=1)
        hint = f": did you mean {close[0]}?" if close else "; declare an enum as enum, a domain as its base type"
        raise UsageError(f"column {column}: the type {name!r} is not known{hint}", column=column, type=name)
    if underscore or brackets:
        return Column(each(known[name]), "nested")
    return Column(known[name], "nested" if name in _NESTED else "bytes" if name in _BYTES else "text")


def _table(modes: Modes, numbers: list[int]) -> dict[str, Step | None]:
    binary = _BINARY[modes.binary]
    return {
        **dict.fromkeys(_AS_SENT),
        **TEXTUAL,
        **{name: _decoded_as(modes, step) for name, step in TEXTUAL.items() if name.endswith("multirange")},
        **dict.fromkeys((*OTHER, "composite", "other"), _decoded_as(modes, str)),
        **_temporal(modes, numbers),
        "numeric": _decimal(modes, numbers),
        "money": _decimal(modes, numbers or [19, 2]),
        "float4": number.read_float,
        "float8": number.read_float,
        "json": read_json,
        "jsonb": read_json,
        "hstore": read_json if modes.hstore == "json" else None,
        "uuid": UUID,
        "bytea": binary,
        "bit": number.size_bits(numbers[0]) if numbers and numbers[0] > 1 else None,
        "varbit": number.size_bits(0),
        "point": shape.read_point,
        "circle": shape.read_circle,
        "line": shape.read_line,
        **dict.fromkeys(("box", "lseg", "path", "polygon", "geometry", "geography"), shape.read_geometry),
    }


def _decoded_as(modes: Modes, step: Step) -> Step:
    binary = _BINARY[modes.binary]
    return decoded(step) if modes.binary == "bytes" else lambda value: step(binary(value).decode())


def _decimal(modes: Modes, numbers: list[int]) -> Step:
    if modes.decimal == "string":
        return number.read_decimal
    if modes.decimal == "double":
        return number.read_float
    if not numbers:
        return number.read_variable
    return number.scale_decimal(numbers[1] if len(numbers) > 1 else 0)


def _temporal(modes: Modes, numbers: list[int]) -> dict[str, Step | None]:
    millis = modes.time == "connect" or (modes.time == "adaptive" and bool(numbers) and numbers[0] <= 3)
    steps: dict[str, Step | None] = {
        "date": moment.read_days,
        "time": moment.scale_time(1000) if millis else moment.read_time,
        "timestamp": moment.read_micros,
        "timestamptz": moment.read_zoned,
        "timetz": moment.read_zoned_clock,
        "interval": read_interval if modes.interval == "string" else read_duration,
    }
    if millis or (modes.time == "adaptive_time_microseconds" and numbers and numbers[0] <= 3):
        steps["timestamp"] = moment.read_millis
    if modes.time == "nanoseconds":
        steps |= {"time": moment.scale_time(-1000), "timestamp": moment.read_nanos}
    if modes.time == "structured":
        steps |= {
            "date": component.read_date_parts,
            "time": component.read_time_parts,
            "timetz": component.read_time_parts,
            "timestamp": component.read_timestamp_parts,
            "timestamptz": component.read_timestamp_parts,
            "interval": component.read_interval_parts,
        }
    if modes.time == "isostring":
        steps |= {"date": moment.read_date, "time": moment.read_clock, "timestamp": moment.read_naive}
    return steps
