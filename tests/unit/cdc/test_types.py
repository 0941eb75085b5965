"""Every PostgreSQL type, decoded from what the real Debezium wrote."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from math import isnan
from uuid import UUID

import pytest

from cdc import UNCHANGED, Infinity, Interval, Modes
from cdc.change import Box, Circle, Decoder, Line, Path, Point

MOMENT = datetime(2024, 2, 29, 13, 14, 15, 123456)  # noqa: DTZ001
ZONED = datetime(2024, 2, 29, 11, 14, 15, 123456, tzinfo=UTC)
SAME_IN_ALL_MODES = {
    "c_bool": True,
    "c_bit1": True,
    "c_bit11": "10110000001",
    "c_i2": -32768,
    "c_i4": 2147483647,
    "c_i8": 9007199254740993,
    "c_oid": 4294967295,
    "c_f4": 1.5,
    "c_f8": 0.1,
    "c_num102": Decimal("-12345.67"),
    "c_num": Decimal("123456789.123456789012345678"),
    "c_num380": Decimal(12345678901234567890123456789012345678),
    "c_money": Decimal("1234.56"),
    "c_char": "ab   ",
    "c_text": "téxt",
    "c_bytea": b"\xde\xad\xbe\xef\x00\xff",
    "c_json": {"a": 1, "b": [1, 2]},
    "c_jsonb": {"a": Decimal("1.10"), "z": 1},
    "c_xml": "<a>x</a>",
    "c_uuid": UUID("0189b2c4-1111-7222-8333-444455556666"),
    "c_date": date(2024, 2, 29),
    "c_time": time(13, 14, 15, 123456),
    "c_time3": time(13, 14, 15, 123000),
    "c_timetz": time(11, 14, 15, 500000, tzinfo=UTC),
    "c_ts": MOMENT,
    "c_ts3": MOMENT.replace(microsecond=123000),
    "c_tstz": ZONED,
    "c_mood": "happy",
    "c_pos": 5,
    "c_mac": "08:00:2b:01:02:03",
    "c_point": Point(1.5, 2.5),
    "c_box": Box(Point(2, 2), Point(0, 0)),
    "c_lseg": Path((Point(0, 0), Point(1, 1)), closed=False, kind="lseg"),
    "c_path": Path((Point(0, 0), Point(1, 1), Point(2, 0)), closed=False),
    "c_poly": Path((Point(0, 0), Point(1, 1), Point(2, 0)), closed=True, kind="polygon"),
    "c_circle": Circle(Point(1, 2), 3),
    "c_line": Line(1, 2, 3),
    "c_hs": {"k1": "v1", "k2": None},
    "c_lt": "top.mid.leaf",
    "c_tsv": "'big':2 'hello':1 'world':3",
    "c_ia": [1, 2, None],
    "c_ta": ["a", "b c", None],
    "c_na": [Decimal("1.10"), Decimal("2.20")],
    "c_tsa": [ZONED],
    "c_ua": [UUID("0189b2c4-1111-7222-8333-444455556666")],
    "c_ja": [{"a": 1}],
    "c_mooda": ["sad", "happy"],
    "c_da": [date(2024, 2, 29)],
}
DECLARED = {
    "id": "bigint", "c_bool": "boolean", "c_bit1": "bit(1)", "c_bit11": "bit(11)", "c_varbit": "bit varying(20)", "c_i2": "smallint",
    "c_i4": "integer", "c_i8": "int8", "c_oid": "oid", "c_f4": "real", "c_f8": "double precision", "c_num102": "numeric(10,2)",
    "c_num": "numeric", "c_num380": "numeric(38,0)", "c_money": "money", "c_char": "character(5)", "c_text": "text",
    "c_bytea": "bytea", "c_json": "json", "c_jsonb": "jsonb", "c_xml": "xml", "c_uuid": "uuid", "c_date": "date", "c_time": "time",
    "c_time3": "time(3) without time zone", "c_timetz": "timetz", "c_ts": "timestamp", "c_ts3": "timestamp(3)",
    "c_tstz": "timestamp(6) with time zone", "c_iv": "interval", "c_mood": "enum", "c_pos": "int", "c_mac": "macaddr",
    "c_point": "point", "c_box": "box", "c_lseg": "lseg", "c_path": "path", "c_poly": "polygon", "c_circle": "circle",
    "c_line": "line", "c_i4r": "int4range", "c_dr": "daterange", "c_i4mr": "int4multirange", "c_hs": "hstore", "c_lt": "ltree",
    "c_tsv": "tsvector", "c_ia": "integer[]", "c_ta": "text[]", "c_na": "numeric(10,2)[]", "c_tsa": "timestamptz[]",
    "c_ua": "_uuid", "c_ja": "jsonb[]", "c_mooda": "enum[]", "c_da": "date[]", "c_inet": "inet", "c_cidr": "cidr",
}  # fmt: skip
STRINGS = Modes(decimal="string", time="isostring", interval="string", binary="hex", hstore="map")


@pytest.fixture
def by_schema(captured):
    """Read the rows of the table of all types, decoded by their schema."""
    decoder = Decoder()
    changes = [decoder.decode(record.key, record.value) for record in captured("envelope-with-schema", "inv.alltypes")]
    return [change.row for change in changes if change]


@pytest.fixture
def by_declaration(captured):
    """Read the same table from another connector without schemas, in ISO and hex modes."""
    decoder = Decoder(columns=DECLARED, modes=STRINGS)
    return [decoder.decode(record.key, record.value).row for record in captured("envelope-schemaless-string-modes")]


@pytest.mark.parametrize("column", SAME_IN_ALL_MODES)
def test_type(by_schema, by_declaration, column):
    """A value is the same Python value by schema in default modes and by declaration in string modes."""
    assert by_schema[0][column] == SAME_IN_ALL_MODES[column]
    assert type(by_schema[0][column]) is type(SAME_IN_ALL_MODES[column])
    assert by_declaration[0][column] == SAME_IN_ALL_MODES[column]


def test_interval(by_schema, by_declaration):
    """An interval keeps its months in string mode, and is Debezium's flattened duration in the default mode."""
    assert by_declaration[0]["c_iv"] == Interval(14, 3, 14_706_789_000)
    assert by_declaration[0]["c_iv"].as_timedelta() == timedelta(days=365 + 60 + 3, seconds=14706, microseconds=789_000)
    assert by_schema[0]["c_iv"] == timedelta(microseconds=37_091_106_789_000)


def test_declared_ranges(by_declaration):
    """Declared ranges and multiranges become ranges of their element type."""
    row = by_declaration[0]
    assert [str(row[name]) for name in ("c_i4r", "c_dr")] == ["[1,5)", "[2024-01-01,2024-02-01)"]
    assert [str(each) for each in row["c_i4mr"]] == ["[1,3)", "[7,9)"]
    assert (str(row["c_inet"]), str(row["c_cidr"])) == ("10.0.0.1/24", "10.0.0.0/8")


def test_nulls(by_schema):
    """NULL is None in every type."""
    assert {by_schema[1][column] for column in SAME_IN_ALL_MODES} == {None}


def test_infinities(by_schema, by_declaration):
    """Infinite dates and timestamps become sentinels in numbers and in text, and NaN is NaN."""
    for row in (by_schema[4], by_declaration[2]):
        assert row["c_date"] is row["c_ts"] is row["c_tstz"] is Infinity.POSITIVE
        assert isnan(row["c_f8"])
    assert by_declaration[2]["c_num102"].is_nan()


def test_toast_by_type(captured):
    """Every form that the placeholder takes is UNCHANGED: text, base64, code points, a UUID made of it."""
    (record,) = captured("toast-by-type")
    row = Decoder().decode(record.key, record.value).after
    unchanged = {name for name, value in row.items() if value is UNCHANGED}
    assert unchanged == {
        "c_text", "c_vc", "c_dom", "c_bytea", "c_json", "c_jsonb", "c_num", "c_tsv", "c_comp", "c_mr", "c_numr",
        "c_ta", "c_vca", "c_ia", "c_i8a", "c_ua", "c_bya", "c_da", "c_ja", "c_jsa",
    }  # fmt: skip
    assert (row["n"], row["c_vec"]) == (2, [1.0, 2.0, 3.0])


def test_declaration_overrides_schema(captured):
    """A declared column is read as declared although the record brings a schema."""
    record = captured("envelope-with-schema", "inv.alltypes")[2]
    row = Decoder(columns={"c_vc": "text", "c_i4r": "int4range"}).decode(record.key, record.value).after
    assert str(row["c_i4r"]) == "[1,5)"
    assert row["c_i4r"].lower == 1


def test_undeclared_columns_are_left_out(captured):
    """A schemaless reader gets the columns it declared and no others."""
    record = captured("envelope-schemaless-string-modes")[0]
    assert Decoder(columns={"id": "bigint", "c_text": "text"}).decode(record.key, record.value).row == {"id": 1, "c_text": "téxt"}
