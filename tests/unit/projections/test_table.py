"""Tables declared by the class of their rows."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Optional
from uuid import UUID

import pytest
import sqlalchemy as sa

from eventstore.errors import UsageError
from projections.declaration.table import Table, snake


@dataclass(slots=True)
class Row:
    id: int
    name: str
    note: str | None
    old: Optional[int]  # noqa: UP045 - both ways to write it must work


def declare(row, key="id", **options):
    return Table(row, key=key, metadata=sa.MetaData(schema="test"), **options)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (bool, "boolean"),
        (int, "bigint"),
        (float, "double precision"),
        (str, "text"),
        (bytes, "bytea"),
        (Decimal, "numeric"),
        (UUID, "uuid"),
        (date, "date"),
        (time, "time without time zone"),
        (timedelta, "interval"),
        (datetime, "timestamp with time zone"),
        (dict[str, Any], "jsonb"),
        (list[int], "jsonb"),
        (Annotated[str, sa.String(3)], "varchar(3)"),
        (Annotated[int, sa.SmallInteger], "smallint"),
        (Annotated[int, "a remark"], "bigint"),
    ],
)
def test_column_types(annotation, expected):
    """Each annotation has its column type, and an Annotated one may name its own."""

    @dataclass(slots=True)
    class Typed:
        id: int
        value: annotation

    assert declare(Typed).sql_types() == ["bigint", expected]


def test_nullable():
    """A column takes NULL exactly when its annotation takes None, wherever the None is written."""

    @dataclass(slots=True)
    class Inner:
        id: int
        code: Annotated[str | None, sa.String(3)]

    assert [each.nullable for each in declare(Row).table.columns] == [False, False, True, True]
    assert declare(Inner).table.c.code.nullable


def test_unknown_type():
    """A type without a column is refused with the field's name and what to use instead."""

    @dataclass(slots=True)
    class Odd:
        id: int
        value: complex

    with pytest.raises(UsageError, match=r"Odd\.value.*Annotated"):
        declare(Odd)


def test_needs_dataclass():
    """A plain class is refused with the decorator that it needs."""

    class Plain:
        id: int

    with pytest.raises(UsageError, match="@dataclass"):
        declare(Plain)


@pytest.mark.parametrize("key", ["nothing", (), ("id", "nothing")])
def test_key_must_be_fields(key):
    """A key that is no field of the row, and an empty one, are refused."""
    with pytest.raises(UsageError, match="key column"):
        declare(Row, key=key)


def test_key_must_not_be_null():
    """A key column that takes None is refused, since PostgreSQL would refuse its first row."""
    with pytest.raises(UsageError, match="note"):
        declare(Row, key="note")


def test_keys_and_values():
    """A single key is a plain value, a composite one a tuple in the declared order; values come in column order."""
    row = Row(1, "a", None, 2)
    assert (declare(Row).key_of(row), declare(Row, key=("name", "id")).key_of(row)) == (1, ("a", 1))
    assert (declare(Row).has_single_key, declare(Row, key=("name", "id")).has_single_key) == (True, False)
    assert declare(Row).values(row) == (1, "a", None, 2)

    @dataclass(slots=True)
    class One:
        id: int

    assert declare(One).values(One(7)) == (7,)


def test_ddl():
    """The DDL holds the columns, the key and the indexes."""
    create, index = declare(Row, key=("id", "name"), indexes=[("note", "id")]).ddl()
    assert "PRIMARY KEY (id, name)" in create
    assert "note TEXT," in create
    assert index.endswith("(note, id)")


@pytest.mark.parametrize(
    ("name", "expected"), [("DelayByHour", "delay_by_hour"), ("delay-by-hour", "delay_by_hour"), ("HTTPHit2Day", "httphit2_day")]
)
def test_snake(name, expected):
    """Class names and projection names become snake case."""
    assert snake(name) == expected


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("name", None, "is None"),
        ("name", "a\0b", "NUL"),
        ("name", 5, "a int is no str"),
        ("short", "long", "longer than 3"),
        ("id", 2**63, "64 bits"),
        ("small", -(2**15) - 1, "16 bits"),
        ("id", True, "a bool is no int"),
        ("note", {"a": "\0"}, "NUL"),
        ("note", {"a": Decimal(1)}, "not JSON serializable"),
        ("id", 8, "under key 8 instead of 7"),
    ],
)
def test_refuses_rows(column, value, said):
    """A careful look finds the column that PostgreSQL would refuse, and a row under another key; the row as it was passes."""

    @dataclass(slots=True)
    class Checked:
        id: int
        name: str
        short: Annotated[str, sa.String(3)]
        small: Annotated[int, sa.SmallInteger]
        price: Decimal
        ratio: float
        note: dict[str, Any] | None

    table, row = declare(Checked), Checked(7, "a", "abc", -(2**15), 5, 1, None)
    table.check(row, 7)
    setattr(row, column, value)
    with pytest.raises(ValueError, match=said):
        table.check(row, 7)
