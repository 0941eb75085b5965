"""Rows kept as text come back as they were, and equal keys have equal text."""

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_interface
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.change import UNCHANGED, Beyond, Box, Circle, Geometry, Infinity, Interval, Line, Path, Point, Range
from cdc.change.text import read_row, write_key, write_row
from eventstore.errors import UndecodableRecord

ODD = st.sampled_from(
    [
        Infinity.NEGATIVE,
        Beyond("0044-03-15 BC"),
        Interval(1, -2, 3),
        Range(date(2024, 1, 1), None, "[)"),
        Point(1.5, -0.0),
        Box(Point(1.0, 2.0), Point(0.0, 0.0)),
        Path((Point(0.0, 1.0),), closed=True),
        Circle(Point(0.0, 1.0), 2.5),
        Line(1.0, 2.0, 3.0),
        Geometry(b"\x01", 4326),
        ip_interface("10.0.0.1/24"),
        UNCHANGED,
        UUID(int=7),
        timedelta(microseconds=-1),
        datetime(2024, 2, 29, 1, 2, 3, 4, timezone(timedelta(hours=2))),
        Decimal("1E-20"),
        Decimal("-Infinity"),
    ]
)
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.times()
    | ODD
)
values = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)


@given(st.dictionaries(st.text(), values))
def test_rows_survive_their_text(row):
    """Whatever a change may hold is the same after it was written and read, and written again is the same text."""
    text = write_row(row)
    again = read_row(text)
    assert again == row
    assert write_row(again) == text
    assert {name: type(value) for name, value in again.items()} == {name: type(value) for name, value in row.items()}


@given(st.text(), st.integers() | st.booleans() | st.text(), st.lists(st.tuples(st.text(), plain)))
def test_keys_are_rows(name, value, more):
    """The text of a key is that of the row of its parts, whatever they are."""
    parts = {name: value, **dict(more)}
    assert write_key(tuple(parts), tuple(parts.values())) == write_row(parts)
    assert write_key((name,), (value,)) == write_row({name: value})


def test_refuses_what_no_change_holds():
    """A value of any other type is refused by name."""
    with pytest.raises(UndecodableRecord, match="type complex"):
        write_row({"a": 1j, "t": time(1)})
