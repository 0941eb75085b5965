"""Which columns a configuration sends, and shapes read from PostgreSQL's text."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.change import Box, Circle, Geometry, Line, Path, Point
from cdc.change.shape import parse_shape
from cdc.connect.scope import Selection, select_columns

COLUMNS = ("id", "code", "pin")
NUMBERS = st.floats(allow_nan=False)
POINTS = st.builds(Point, NUMBERS, NUMBERS)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Selection(key=("id",))),
        ({"column.exclude.list": r"public\.badge\.pin, public.badge.ID"}, Selection(("id", "pin"), ("id",))),
        ({"column.include.list": r".*\.badge\.(id|code)"}, Selection(("pin",), ("id",))),
        ({"column.include.list": "public.other.id"}, Selection(COLUMNS, ("id",))),
        ({"message.key.columns": "public.other:pin;(.*).badge:code,id"}, Selection((), ("id", "code"), is_told=True)),
        ({"message.key.columns": "public.other:pin"}, Selection(key=("id",))),
        ({"column.mask.with.3.chars": ".*pin", "column.truncate.to.2.chars": ".*code"}, Selection((), ("id",), ("code", "pin"))),
    ],
)
def test_select_columns(config: dict[str, str], expected: Selection) -> None:
    """Lists match whole names whatever their case, keys come in the table's order, and nothing said means all under the primary key."""
    assert select_columns(config, "public.badge", COLUMNS, ["id"]) == expected


@given(st.lists(POINTS, min_size=1, max_size=4), st.booleans())
def test_parse_shape(points: list[Point], closed: bool) -> None:
    """Every shape's text reads as the shape that it is the text of."""
    first, last = points[0], points[-1]
    ring = tuple(points[:-1] if len(points) > 1 and first == last else points)
    shapes = {
        "point": first,
        "line": Line(first.x, first.y, last.x),
        "lseg": Path((first, last), closed=False, kind="lseg"),
        "path": Path(tuple(points), closed=closed),
        "box": Box(first, last),
        "circle": Circle(first, last.y),
    }
    for kind, shape in shapes.items():
        assert parse_shape(kind, str(shape)) == shape
    assert parse_shape("polygon", str(Path(tuple(points), closed=True))) == Path(ring, closed=True, kind="polygon")


@pytest.mark.parametrize("order", ["<", ">"])
def test_postgis(order: str) -> None:
    """A PostGIS value keeps its bytes, and its reference system is read from them, where they have one."""
    mark = bytes([order == "<"])
    plain = mark + struct.pack(f"{order}Idd", 1, 1.0, 2.0)
    placed = mark + struct.pack(f"{order}Iidd", 1 | 0x20000000, 4326, 1.0, 2.0)
    assert parse_shape("geometry", plain.hex().upper()) == Geometry(plain, None)
    assert parse_shape("geography", placed.hex()) == Geometry(placed, 4326)
