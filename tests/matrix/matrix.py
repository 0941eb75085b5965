"""The list of types as a table, its rows, the connectors that write it in every mode, and what each mode is expected to lose."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdc import Modes

LIST: dict[str, Any] = tomllib.loads(Path(__file__).with_name("types.toml").read_text("utf-8"))
TABLE = "alltypes"
STREAMED, EMPTY, LARGE = 101, 200, 300
"""Where the streamed rows begin, the row of NULLs, the row of large values."""


@dataclass(frozen=True)
class Column:
    """One column of the list; *declared* is what a reader without schema declares."""

    name: str
    type: str
    python: str
    values: list[str]
    base: str = ""
    declared: str = ""
    note: str = ""

    @property
    def declaration(self) -> str:
        return self.declared or self.base or self.type


@dataclass(frozen=True)
class Way:
    """A connector that writes the table in *modes*, beside its other *options*, with schemas or without."""

    name: str
    modes: Modes
    options: dict[str, str] = field(default_factory=dict)
    schemas: bool = True

    @property
    def is_flat(self) -> bool:
        """Tell whether intervals come as plain durations."""
        return self.modes.interval == "numeric" and self.modes.time != "structured"

    def configure(self) -> dict[str, str]:
        """Give the connector's options."""
        modes = self.modes
        chosen = {
            "decimal.handling.mode": modes.decimal,
            "time.precision.mode": modes.time,
            "interval.handling.mode": modes.interval,
            "binary.handling.mode": modes.binary,
            "hstore.handling.mode": modes.hstore,
            **self.options,
        }
        if not self.schemas:
            chosen |= {f"{side}.converter.schemas.enable": "false" for side in ("key", "value")}
        return chosen


COLUMNS = [Column(**each) for each in LIST["columns"]]
LOSSY = {"event.converting.failure.handling.mode": "warn"}
"""Else such a connector would fail at a value that its modes can't write, as it should."""
WAYS = (
    Way("applied", Modes()),
    Way("debezium", Modes("precise", "adaptive", "numeric", "bytes", "json"), LOSSY),
    Way("texts", Modes("double", "isostring", "string", "hex", "map")),
    Way("nanos", Modes("string", "nanoseconds", "string", "base64-url-safe", "map")),
    Way("millis", Modes("precise", "connect", "numeric", "base64", "json"), LOSSY),
    Way("parts", Modes("string", "structured", "string", "bytes", "json"), LOSSY),
    Way("bare", Modes("string", "adaptive_time_microseconds", "string", "base64", "map"), schemas=False),
)
ROWS = max(len(each.values) for each in COLUMNS)


def create() -> list[str]:
    """Give the statements that make the table."""
    columns = ", ".join(f"{each.name} {each.type}" for each in COLUMNS)
    extensions = [f"CREATE EXTENSION {each}" for each in LIST["extensions"]]
    return [*extensions, *LIST["prepare"], f"CREATE TABLE {TABLE} (id int PRIMARY KEY, {columns})"]


def insert(first: int) -> str:
    """Give the statement that inserts one row for each value, numbered from *first*."""
    rows = ", ".join(f"({first + row}, {', '.join(pick(each, row) for each in COLUMNS)})" for row in range(ROWS))
    return f"INSERT INTO {TABLE} VALUES {rows}"


def update(key: int, row: int) -> str:
    """Give the statement that sets the row under *key* to the values of *row*."""
    return f"UPDATE {TABLE} SET {', '.join(f'{each.name} = {pick(each, row)}' for each in COLUMNS)} WHERE id = {key}"


def pick(column: Column, row: int) -> str:
    """Give the literal of *column* in *row*."""
    return column.values[row % len(column.values)]
