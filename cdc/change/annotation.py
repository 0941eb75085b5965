"""Which Python type the values of a PostgreSQL type have in a change, as `cdc apply` lets Debezium write them.

Values beyond `datetime` (infinity, 44 BC, 24:00) are part of the types: who leaves them out would be surprised by data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from cdc.change.column import SOURCE_TYPE, Schema

_TEXTS = ("char", "bpchar", "varchar", "text", "citext", "name", "xml", "ltree", "tsvector", "macaddr", "macaddr8", "varbit")
_INTEGERS = ("int2", "int4", "int8", "oid")
_RANGES = ("int4", "int8", "num", "date", "ts", "tstz")
_NETWORK = "IPv4Network | IPv6Network"

ANNOTATIONS: Final[Mapping[str, str]] = {
    "bool": "bool",
    "bit": "str",
    **dict.fromkeys(_INTEGERS, "int"),
    **dict.fromkeys(("float4", "float8"), "float"),
    **dict.fromkeys(("numeric", "money"), "Decimal"),
    **dict.fromkeys(_TEXTS, "str"),
    "bytea": "bytes",
    **dict.fromkeys(("json", "jsonb"), "Any"),
    "hstore": "dict[str, str | None]",
    "uuid": "UUID",
    "date": "date | Infinity | Beyond",
    **dict.fromkeys(("time", "timetz"), "time | Beyond"),
    **dict.fromkeys(("timestamp", "timestamptz"), "datetime | Infinity | Beyond"),
    "interval": "Interval",
    "inet": "IPv4Address | IPv6Address | IPv4Interface | IPv6Interface",
    "cidr": _NETWORK,
    "point": "Point",
    "box": "Box",
    **dict.fromkeys(("lseg", "path", "polygon"), "Path"),
    "circle": "Circle",
    "line": "Line",
    **{f"{each}range": "Range" for each in _RANGES},
    **{f"{each}multirange": "list[Range]" for each in _RANGES},
}
"""By PostgreSQL's own name of a type; any other type arrives as its text."""

MODULES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("date", "datetime", "time"), "datetime"),
    "Decimal": "decimal",
    "UUID": "uuid",
    **dict.fromkeys(("IPv4Address", "IPv4Interface", "IPv4Network", "IPv6Address", "IPv6Interface", "IPv6Network"), "ipaddress"),
    **dict.fromkeys(("Annotated", "Any", "Final", "NotRequired", "TypedDict"), "typing"),
    **dict.fromkeys(
        ("Beyond", "Box", "Circle", "Infinity", "Interval", "Line", "Path", "Point", "Range", "Unchanged"), "cdc.change"
    ),
    "CapturedTable": "cdc",
}
"""Where a name that a row class uses comes from."""

_PLAIN = {
    "boolean": "bool",
    "int8": "int2",
    "int16": "int2",
    "int32": "int4",
    "int64": "int8",
    "float": "float4",
    "double": "float8",
}
_NAMED = {
    "Decimal": "numeric", "VariableScaleDecimal": "numeric", "Bits": "bit", "Json": "jsonb", "Uuid": "uuid", "Date": "date",
    "IsoDate": "date", "StructuredDate": "date", "Point": "point", "Circle": "circle", "Line": "line",
    **dict.fromkeys(("Time", "MicroTime", "NanoTime", "IsoTime", "StructuredTime"), "time"),
    **dict.fromkeys(("ZonedTime", "StructuredZonedTime"), "timetz"),
    **dict.fromkeys(("Timestamp", "MicroTimestamp", "NanoTimestamp", "IsoTimestamp", "StructuredTimestamp"), "timestamp"),
    **dict.fromkeys(("ZonedTimestamp", "StructuredZonedTimestamp"), "timestamptz"),
    **dict.fromkeys(("Interval", "MicroDuration", "NanoDuration", "StructuredDuration"), "interval"),
    **dict.fromkeys(("Xml", "Ltree", "Enum", "Tsvector"), "text"),
}  # fmt: skip
_WORDS = {
    "boolean": "bool", "smallint": "int2", "integer": "int4", "bigint": "int8", "real": "float4", "double precision": "float8",
    "character varying": "varchar", "character": "bpchar", "bit varying": "varbit", "time without time zone": "time",
    "time with time zone": "timetz", "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
}  # fmt: skip
_NUMBERS = re.compile(r"\([\d, ]+\)")


def annotate(name: str, *, single_bit: bool = False) -> str:
    """Give the annotation of a value of type *name*; an array's begins with `_`."""
    if name.startswith("_"):
        return f"list[{annotate(name[1:])} | None]".replace("Any | None", "Any")
    return "bool" if name == "bit" and single_bit else ANNOTATIONS.get(name, "str")


def name_written(text: str) -> str:
    """Give PostgreSQL's own name of a type written as `format_type` does: `numeric(10,2)[]` is `_numeric`."""
    whole = _NUMBERS.sub("", text).replace("  ", " ").strip()
    found = whole.removesuffix("[]")
    return ("_" if whole != found else "") + _WORDS.get(found, found)


def name_sent(schema: Schema) -> str | None:
    """Give the name of a type that has the same annotation as what a record's *schema* says of a column; None = it can't be told."""
    parameters: dict[str, Any] = schema.get("parameters") or {}
    source = str(parameters.get(SOURCE_TYPE, "")).lower()
    kind, name = schema["type"], str(schema.get("name") or "").rpartition(".")[2]
    if kind == "array":
        element = source.removeprefix("_") if source.startswith("_") else name_sent(schema["items"])
        return None if element is None else f"_{element}"
    if name:
        return _NAMED.get(name)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "string":
        return source or "text"
    return (source or "bytea") if kind == "bytes" else None
