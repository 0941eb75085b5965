"""How one column's JSON value becomes a Python value, found once per schema and not per row.

A Connect schema names most types (`io.debezium.time.Date`); what it leaves open (numeric sent as text, inet, ranges, types
Debezium does not know) is settled by the PostgreSQL type that `datatype.propagate.source.type` adds to the column's
parameters, which `cdc apply` switches on. Without it such a column stays the text that was sent. A semantic type that is not
listed here is refused by name: a guess would be wrong data.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, Literal, NamedTuple
from uuid import UUID

from cdc.change import component, moment, number, range, shape  # noqa: A004 - the noun PostgreSQL uses
from cdc.change.interval import read_duration, read_interval

Step = Callable[[Any], Any]
Schema = dict[str, Any]


class Column(NamedTuple):
    """How to read a column: *step* for one non-null value (None: the JSON value is right), *form* of an unchanged TOAST value."""

    step: Step | None
    form: Literal["text", "bytes", "nested"]


SOURCE_TYPE = "__debezium.source.column.type"

read_json: Step = json.JSONDecoder(parse_float=Decimal).decode


def read_inet(text: str) -> Any:
    """Read an inet as psycopg does: an address, or an interface when a prefix length is given."""
    return ip_interface(text) if "/" in text else ip_address(text)


def read_text(value: str) -> str:
    """Read the text form of a type Debezium does not know; it arrives as base64."""
    return number.read_bytes(value).decode()


ENTRIES = "refold.entries"
"""What we call a map that comes as a list of its entries, as in Avro."""


def read_entries(entries: list[dict[str, Any]]) -> dict[Any, Any]:
    """Read a map from its entries."""
    return {each["key"]: each["value"] for each in entries}


NAMED: dict[str, Step | None] = {
    ENTRIES: read_entries,
    "io.debezium.data.Json": read_json,
    "io.debezium.data.Uuid": UUID,
    "io.debezium.data.Xml": None,
    "io.debezium.data.Ltree": None,
    "io.debezium.data.Enum": None,
    "io.debezium.data.EnumSet": None,
    "io.debezium.data.Tsvector": None,
    "io.debezium.data.VariableScaleDecimal": number.read_variable,
    "io.debezium.data.DoubleVector": None,
    "io.debezium.data.FloatVector": None,
    "io.debezium.data.SparseVector": None,
    "io.debezium.data.geometry.Point": shape.read_point,
    "io.debezium.data.geometry.Geometry": shape.read_geometry,
    "io.debezium.data.geometry.Geography": shape.read_geometry,
    "io.debezium.data.geometry.Circle": shape.read_circle,
    "io.debezium.data.geometry.Line": shape.read_line,
    "io.debezium.time.Date": moment.read_days,
    "io.debezium.time.Time": moment.scale_time(1000),
    "io.debezium.time.MicroTime": moment.read_time,
    "io.debezium.time.NanoTime": moment.scale_time(-1000),
    "io.debezium.time.Timestamp": moment.read_millis,
    "io.debezium.time.MicroTimestamp": moment.read_micros,
    "io.debezium.time.NanoTimestamp": moment.read_nanos,
    "io.debezium.time.ZonedTimestamp": moment.read_zoned,
    "io.debezium.time.ZonedTime": moment.read_zoned_clock,
    "io.debezium.time.IsoDate": moment.read_date,
    "io.debezium.time.IsoTime": moment.read_clock,
    "io.debezium.time.IsoTimestamp": moment.read_naive,
    "io.debezium.time.MicroDuration": read_duration,
    "io.debezium.time.NanoDuration": lambda nanos: timedelta(microseconds=nanos // 1000),
    "io.debezium.time.Interval": read_interval,
    "io.debezium.time.StructuredDate": component.read_date_parts,
    "io.debezium.time.StructuredTime": component.read_time_parts,
    "io.debezium.time.StructuredZonedTime": component.read_time_parts,
    "io.debezium.time.StructuredTimestamp": component.read_timestamp_parts,
    "io.debezium.time.StructuredZonedTimestamp": component.read_timestamp_parts,
    "io.debezium.time.StructuredDuration": component.read_interval_parts,
    "org.apache.kafka.connect.data.Date": moment.read_days,
    "org.apache.kafka.connect.data.Time": moment.scale_time(1000),
    "org.apache.kafka.connect.data.Timestamp": moment.read_millis,
}
"""Semantic types of Debezium and Connect; None = the JSON value is the Python value."""

TEXTUAL: dict[str, Step] = {
    "numeric": number.read_decimal,
    "money": number.read_decimal,
    "inet": read_inet,
    "cidr": ip_network,
    **{f"{name}range": range.range_reader(step) for name, step in range.ELEMENTS.items()},
    **{f"{name}multirange": range.multirange_reader(step) for name, step in range.ELEMENTS.items()},
}
"""Types that Debezium sends as bare text, told apart only by the propagated PostgreSQL type."""

OTHER = ("tsquery", "pg_lsn", "jsonpath")
"""Types that Debezium does not know: their text comes as bytes, by `include.unknown.datatypes`."""


def find_column(schema: Schema, binary: Step | None = None) -> Column:
    """Settle how a column of this Connect schema is read. Raises ValueError for a type that is not known.

    *binary* reads the text that the connector's `binary.handling.mode` writes for bytes, where the schema calls it a string.
    """
    kind = schema["type"]
    nested = kind in ("array", "map", "struct")
    found = "nested" if nested else "bytes" if kind == "bytes" or _is_packed(schema) else "text"
    return Column(find_step(schema, binary=binary), found)


def find_step(schema: Schema, source_type: str = "", binary: Step | None = None) -> Step | None:
    """Give the function that reads one non-null value of a column, or None when the JSON value is right as it is.

    *source_type* is the PostgreSQL type of the array around an element. Raises ValueError for a type that is not known.
    """
    parameters: dict[str, str] = schema.get("parameters") or {}
    source_type = source_type or parameters.get(SOURCE_TYPE, "").lower()
    name: str | None = schema.get("name")
    if name == "org.apache.kafka.connect.data.Decimal":
        return number.scale_decimal(int(parameters["scale"]))
    if name == "io.debezium.data.Bits":
        return number.size_bits(0 if source_type == "varbit" else int(parameters["length"]))
    if name in NAMED:
        return NAMED[name]
    if name is not None:
        raise ValueError(f"the semantic type {name} is not known to this release")
    return _find_plain(schema, source_type, binary)


def refuse_nested(text: str) -> str:
    """Refuse what Debezium makes of an inner array (`[Ljava.lang.String;@…`): its content is lost."""
    if text.startswith("[Ljava."):
        raise ValueError("Debezium can't send arrays of several dimensions; their inner arrays are lost")
    return text


def _find_plain(schema: Schema, source_type: str, binary: Step | None) -> Step | None:
    kind = schema["type"]
    if kind == "array":
        step = find_step(schema["items"], source_type.removeprefix("_"), binary)
        return each(refuse_nested if step is None and schema["items"]["type"] == "string" else step)
    if kind in ("float", "double"):
        return number.read_float
    if kind == "string":
        return _unpacked(source_type, binary)
    if kind == "bytes":
        return number.read_bytes if source_type in ("", "bytea") else decoded(TEXTUAL.get(source_type))
    if kind in ("boolean", "int8", "int16", "int32", "int64", "map"):
        return None
    raise ValueError(f"the Connect type {kind} is not known for a column")


def each(step: Step | None) -> Step | None:
    """Lift *step* to lists, whose elements may be null."""
    if step is None:
        return None

    def read(values: list[Any]) -> list[Any]:
        return [None if value is None else step(value) for value in values]

    return read


def decoded(step: Step | None) -> Step:
    """Apply *step* to the text form of a type that Debezium sends as bytes (`include.unknown.datatypes`)."""
    return read_text if step is None else lambda value: step(read_text(value))


def _unpacked(source_type: str, binary: Step | None) -> Step | None:
    """Give the step for what came as text; some modes write bytes as text, and with them types that Debezium does not know."""
    if binary is not None and source_type in ("bytea", *OTHER):
        return binary if source_type == "bytea" else lambda text: binary(text).decode()
    step = TEXTUAL.get(source_type)
    if step is None or not source_type.endswith("multirange"):
        return step

    def read(text: str) -> Any:
        if not text.startswith("{"):
            text = (number.read_hex if text.startswith("7b") else number.read_url_safe)(text).decode()
        return step(text)

    return read


def _is_packed(schema: Schema) -> bool:
    parameters: dict[str, str] = schema.get("parameters") or {}
    return parameters.get(SOURCE_TYPE, "").lower() == "bytea"
