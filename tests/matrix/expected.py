"""What psycopg reads from the table, brought to what a change must hold, with what each mode and each op is known to lose."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
from psycopg.adapt import Loader
from psycopg.types import TypeInfo
from psycopg.types.datetime import DateLoader, TimeLoader, TimestampLoader, TimestamptzLoader
from psycopg.types.hstore import register_hstore
from psycopg.types.json import set_json_loads
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range as PsycopgRange

from cdc import Interval, Range
from cdc.change.interval import read_interval
from tests.matrix.matrix import COLUMNS, LARGE, TABLE, Column, Way

FIRST_NANOSECOND, LAST_NANOSECOND = datetime(1677, 9, 22), datetime(2262, 4, 11)  # noqa: DTZ001
LOADERS = {"date": DateLoader, "time": TimeLoader, "timestamp": TimestampLoader, "timestamptz": TimestamptzLoader}
SESSION = "-c timezone=UTC -c intervalstyle=iso_8601"
MONTH = timedelta(days=30.4375)


def register(connection: psycopg.Connection) -> None:
    """Let *connection* give hstore as dict and arrays of the enum as lists, beside what `forgive` does."""
    forgive(connection)
    info = TypeInfo.fetch(connection, "hstore")
    if info is not None:
        register_hstore(info, connection)
    mood = TypeInfo.fetch(connection, "mood")
    if mood is not None:
        mood.register(connection)


class IntervalLoader(Loader):
    """Reads PostgreSQL's ISO 8601."""

    def load(self, data: Any) -> Interval:
        return read_interval(bytes(data).decode())


def forgive(connection: psycopg.Connection | psycopg.AsyncConnection) -> None:
    """Let *connection* give exact JSON, intervals with their months, and what Python's dates can't hold as text.

    Its session needs `intervalstyle = iso_8601`.
    """
    connection.adapters.register_loader("interval", IntervalLoader)
    set_json_loads(partial(json.loads, parse_float=Decimal), connection)
    for name, loader in LOADERS.items():
        connection.adapters.register_loader(name, _forgiving(loader))


def _forgiving(loader: type) -> type:
    class Forgiving(loader):
        def load(self, data: Any) -> Any:
            try:
                return super().load(data)
            except psycopg.DataError:
                return bytes(data).decode()

    return Forgiving


def read_rows(connection: psycopg.Connection, way: Way, snapshot: set[int]) -> dict[int, dict[str, Any]]:
    """Give every row by its id, as a reader of *way* must see it; *snapshot* are the ids that no change came for."""
    names = ", ".join(each.name for each in COLUMNS)
    rows = connection.execute(f"SELECT id, {names} FROM {TABLE}").fetchall()
    found = {
        key: {each.name: expect(each, value, way, snapshot=key in snapshot) for each, value in zip(COLUMNS, values, strict=True)}
        for key, *values in rows
    }
    if way.modes.binary.startswith("base64"):
        found[LARGE]["c_bytea"] = None
    return found


def expect(column: Column, value: Any, way: Way, *, snapshot: bool) -> Any:
    """Give what a change holds where the table holds *value*."""
    if value is None:
        return None
    if column.type == "money":
        value = Decimal(value.translate(str.maketrans("", "", "$,")))
    if column.type == "bit(1)":
        return value == "1"
    if column.type == "polygon":
        return drop_repeated(value)
    if column.type == "numeric[]" and way.modes.decimal == "precise":
        return [Decimal(str(each).rstrip("0")) for each in value]
    return lose(plain(value), way, snapshot=snapshot)


def lose(value: Any, way: Way, *, snapshot: bool) -> Any:
    """Take from *value* what the modes of *way* can't carry; a snapshot's dates before Christ lose their era in all of them."""
    if isinstance(value, Interval) and way.is_flat:
        return value.months * MONTH + timedelta(days=value.days, microseconds=value.microseconds)
    if isinstance(value, list):
        return [lose(each, way, snapshot=snapshot) for each in value]
    if isinstance(value, Decimal):
        return _lose_decimal(value, way.modes.decimal)
    if isinstance(value, time) or value == "24:00:00":
        return _lose_time(value, way.modes.time)
    if isinstance(value, datetime) and value.tzinfo is None:
        return _lose_timestamp(value, way.modes.time)
    if isinstance(value, str) and value.endswith(" BC"):
        return _lose_era(value, way, snapshot=snapshot)
    if (
        isinstance(value, str)
        and way.modes.time == "nanoseconds"
        and value.startswith("12024")
        and "+" not in value
        and ":" in value
    ):
        return None
    return value


def _lose_decimal(value: Decimal, mode: str) -> Any:
    if mode == "precise" and not value.is_finite():
        return None
    return float(value) if mode == "double" else value


def _lose_time(value: Any, mode: str) -> Any:
    if value == "24:00:00":
        return {"isostring": time(0), "structured": None}.get(mode, value)
    return value.replace(microsecond=value.microsecond // 1000 * 1000) if mode == "connect" and value.tzinfo is None else value


def _lose_timestamp(value: datetime, mode: str) -> datetime | None:
    if mode == "nanoseconds" and not FIRST_NANOSECOND < value < LAST_NANOSECOND:
        return None
    return value.replace(microsecond=value.microsecond // 1000 * 1000) if mode == "connect" else value


def _lose_era(value: str, way: Way, *, snapshot: bool) -> Any:
    if ":" not in value:
        return date.fromisoformat(value.removesuffix(" BC")) if snapshot else value
    return None if way.modes.time == "nanoseconds" and "+" not in value else value


def drop_repeated(value: str) -> str:
    """Write a polygon without a last point that says the first one again: closed rings of well-known binary can't tell."""
    points = value[2:-2].split("),(")
    return f"(({'),('.join(points[:-1] if points[0] == points[-1] else points)}))"


def plain(value: Any) -> Any:
    """Bring what psycopg reads and what a change holds to one form."""
    if isinstance(value, (PsycopgRange, Range)):
        empty = value.isempty if isinstance(value, PsycopgRange) else value.is_empty
        return Range(value.lower, value.upper, "" if empty else value.bounds)
    if isinstance(value, (Multirange, list)):
        return [plain(each) for each in value]
    if isinstance(value, bytes) and not value.strip(b"\0") and len(value) == 1:
        return ""
    return value if type(value).__module__ != "cdc.change.shape" else str(value)


def same(found: Any, expected: Any) -> bool:
    """Tell whether two values are equal in type, digits and scale, NaN being equal to NaN."""
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, (Decimal, float)):
        return type(found) is type(expected) and str(found) == str(expected)
    return found == expected and (type(found) is type(expected) or isinstance(expected, str))
