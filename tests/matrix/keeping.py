"""A projection made from the list: a read model with a column for every captured column, natively where a table can."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from cdc import UNCHANGED, CapturedTable, Change
from projections import Projection
from tests.matrix.matrix import COLUMNS, TABLE, Column, Way

NATIVE: dict[str, Any] = {
    "bool": bool, "int": int, "float": float, "Decimal": Decimal, "str": str, "bytes": bytes, "UUID": UUID, "date": date,
    "dict": Annotated[Any, JSONB], "list": Annotated[Any, JSONB],
}  # fmt: skip
TIMES: dict[str, Any] = {
    "timetz": Annotated[time, sa.Time(timezone=True)],
    "timestamptz": Annotated[datetime, sa.DateTime(timezone=True)],
    "timestamp": Annotated[datetime, sa.DateTime(timezone=False)],
    "time": time,
}
BIG = {
    "c_text": "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) i)",
    "c_jsonb": "(SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 400) i)",
    "c_bytea": "(SELECT decode(string_agg(md5(i::text), ''), 'hex') FROM generate_series(1, 400) i)",
    "c_ia": "(SELECT array_agg(i * 7919 % 100003) FROM generate_series(1, 4000) i)",
    "c_ta": "(SELECT array_agg(md5(i::text)) FROM generate_series(1, 400) i)",
}
"""Large values, which an update that does not touch them leaves out."""


def capture(way: Way) -> CapturedTable:
    """Declare what *way* writes: without schemas all columns, otherwise those that a schema leaves open."""
    open_columns = [each for each in COLUMNS if not way.schemas or is_open(each, way)]
    declared = {each.name: each.declaration for each in open_columns}
    if not way.schemas:
        declared["id"] = "integer"
    return CapturedTable(way.name, f"public.{TABLE}", columns=declared, modes=way.modes)


def is_open(column: Column, way: Way) -> bool:
    """Tell whether a schema leaves *column* open: domains over numeric, and in text modes bytes and what comes as bytes."""
    packed = way.modes.binary != "bytes" and column.declaration in {"bytea", "composite"}
    return packed or column.type == "price"


def project(way: Way) -> Projection:
    """Make the projection that keeps what *way* writes."""
    projection = Projection(f"matrix-{way.name}")
    fields = [("id", int), *((each.name, choose(each, way) | None) for each in COLUMNS)]
    row = dataclasses.make_dataclass("Kept", fields, slots=True)
    projection.table(row, key="id", name="kept").on_change(capture(way))(make_handler(row))
    return projection


def make_handler(row: type) -> Callable[[Change, Any], Any]:
    """Make the handler: what a change does not carry stays as it was."""

    def keep(change: Change, known: Any) -> Any:
        after = change.after
        if after is None:
            return None
        values = {name: getattr(known, name) if value is UNCHANGED else store(value) for name, value in after.items()}
        return row(**values)

    return keep


def choose(column: Column, way: Way) -> Any:
    """Choose the type of the read model's column."""
    name = column.type.partition("(")[0]
    if name == "interval" and way.is_flat:
        return timedelta
    if column.python == "Decimal" and way.modes.decimal == "double":
        return float
    return TIMES.get(name) or NATIVE.get(column.python, str)


def store(value: Any) -> Any:
    """Bring a value to what the read model's column takes: lists and JSON without decimals and dates, the rest as text."""
    if isinstance(value, (dict, list)):
        return simplify(value)
    if type(value) in {bool, int, float, Decimal, str, bytes, UUID, date, time, datetime, timedelta} or value is None:
        return value
    return str(value)


def simplify(value: Any) -> Any:
    """Give JSON without anything that JSON does not have."""
    if isinstance(value, dict):
        return {name: simplify(each) for name, each in value.items()}
    if isinstance(value, list):
        return [simplify(each) for each in value]
    if isinstance(value, float):
        return repr(value)
    return value if isinstance(value, (bool, int, str, type(None))) and type(value).__module__ == "builtins" else str(value)
