"""Reading one row (or key) of JSON values in place, by a plan made once per schema.

Most columns need no work, so the parsed dict itself becomes the row and only the columns that need it are replaced. Debezium's
placeholder for an unchanged TOAST value is looked for in every form it takes: text, base64, hex, an array of one placeholder,
and, for arrays of integers, the placeholder's code points. Debezium 3.7 sends plain NULL for some types (numeric[], bool[],
timestamps[], varbit, path, ...): that can't be told from a NULL here, so `cdc apply` warns of such columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cdc.change.change import Row
from cdc.change.column import Column
from cdc.change.sentinel import UNCHANGED
from eventstore.errors import UndecodableRecord

PLACEHOLDER = "__debezium_unavailable_value"
_BASE64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
_HEX = PLACEHOLDER.encode().hex()
_RAW = PLACEHOLDER.encode()
_BYTES = (_BASE64, _HEX, PLACEHOLDER, _RAW)
_NESTED: tuple[Any, ...] = (
    [PLACEHOLDER],
    [_BASE64],
    [_RAW],
    [*PLACEHOLDER.encode()],
    ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"],  # the placeholder's bytes made into a UUID
    {PLACEHOLDER: PLACEHOLDER},
    [{"key": PLACEHOLDER, "value": PLACEHOLDER}],
    PLACEHOLDER,
)
_FAILURES = (ValueError, TypeError, KeyError, ArithmeticError, AttributeError, IndexError)

RowReader = Callable[[Row], Row]


def compile_row(columns: Mapping[str, Column]) -> RowReader:
    """Give a function that replaces a row's JSON values by Python values in place, nulls left alone.

    The function raises UndecodableRecord with the column's name when a value is not what its type promises.
    """
    steps = tuple((name, column.step) for name, column in columns.items() if column.step is not None)
    nested = tuple(name for name, column in columns.items() if column.form == "nested")
    binary = any(column.form == "bytes" for column in columns.values())

    def read(row: Row) -> Row:
        values = row.values()
        if PLACEHOLDER in values or (binary and (_BASE64 in values or _HEX in values or _RAW in values)):
            return _read_carefully(row, columns)
        name = ""
        try:
            for name in nested:
                if row[name] in _NESTED:
                    return _read_carefully(row, columns)
            for name, step in steps:
                value = row[name]
                if value is not None:
                    row[name] = step(value)
        except _FAILURES as error:
            raise _undecodable(name, row, error) from error
        return row

    return read


def compile_declared(columns: Mapping[str, Column]) -> RowReader:
    """Do the same for declared columns, dropping what was not declared: a column added at the source does no harm."""
    read = compile_row(columns)

    def narrow(row: Row) -> Row:
        return read({name: row[name] for name in columns if name in row})

    return narrow


def _read_carefully(row: Row, columns: Mapping[str, Column]) -> Row:
    name = ""
    try:
        for name, column in columns.items():
            value = row[name]
            if _is_unchanged(value, column.form):
                row[name] = UNCHANGED
            elif value is not None and column.step is not None:
                row[name] = column.step(value)
    except _FAILURES as error:
        raise _undecodable(name, row, error) from error
    return row


def _is_unchanged(value: Any, form: str) -> bool:
    if form == "nested":
        return value in _NESTED
    return value in _BYTES if form == "bytes" else value == PLACEHOLDER


def _undecodable(name: str, row: Row, error: Exception) -> UndecodableRecord:
    if name not in row:
        return UndecodableRecord(
            f"column {name} is missing: absent is not NULL. A renamed or dropped column needs a new declaration.", column=name
        )
    return UndecodableRecord(f"column {name}: {row[name]!r:.120} does not read as its type: {error}", column=name)
