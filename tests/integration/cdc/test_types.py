"""Every type through the real PostgreSQL and Debezium equals what psycopg reads from the table."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial
from math import isnan

import pytest
from psycopg.types.json import set_json_loads
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range as PsycopgRange

from cdc import CapturedTable, Infinity, Interval, Range
from cdc.change import Beyond

TABLE = CapturedTable("operations", "public.alltypes", columns={"c_price": "numeric"})
PREPARE = (
    "create type mood as enum ('sad', 'ok', 'happy')",
    "create type address as (street text, zip int)",
    "create domain price as numeric(10, 2)",
    "create domain positive as integer check (value > 0)",
)
VALUES = {
    "c_bool boolean": "true",
    "c_bit1 bit(1)": "b'1'",
    "c_bit11 bit(11)": "b'00000000101'",
    "c_varbit varbit(20)": "b'1011'",
    "c_varbits varbit": "b'10110'",
    "c_i2 smallint": "-32768",
    "c_i4 integer": "2147483647",
    "c_i8 bigint": "9007199254740993",
    "c_oid oid": "4294967295",
    "c_f4 real": "1.1",
    "c_f8 double precision": "0.1",
    "c_num102 numeric(10,2)": "-12345.67",
    "c_num numeric": "123456789.123456789012345678",
    "c_num60 numeric(60,20)": "1234567890123456789012345678901234567890.12345678901234567891",
    "c_money money": "'$1,234.56'",
    "c_price price": "9.90",
    "c_positive positive": "5",
    "c_char char(5)": "'ab'",
    "c_vc varchar(10)": "'varc'",
    "c_text text": "'téxt'",
    "c_name name": "'name'",
    "c_bytea bytea": "'\\xdeadbeef00ff'",
    "c_json json": """'{"a": 1,  "b":[1, 2.50]}'""",
    "c_jsonb jsonb": """'{"z":1,"a":1.10,"n":null,"big":12345678901234567890123}'""",
    "c_uuid uuid": "'0189b2c4-1111-7222-8333-444455556666'",
    "c_date date": "'2024-02-29'",
    "c_time time": "'13:14:15.123456'",
    "c_time3 time(3)": "'13:14:15.123'",
    "c_timetz timetz": "'13:14:15.5+02'",
    "c_ts timestamp": "'2024-02-29 13:14:15.123456'",
    "c_ts3 timestamp(3)": "'2024-02-29 13:14:15.123'",
    "c_tstz timestamptz": "'2024-02-29 13:14:15.123456+02'",
    "c_iv interval": "'1 year 2 mons -3 days 04:05:06.789'",
    "c_mood mood": "'happy'",
    "c_address address": "row('Main Street', 123)",
    "c_inet inet": "'10.0.0.1/24'",
    "c_inet6 inet": "'fe80::1'",
    "c_cidr cidr": "'10.0.0.0/8'",
    "c_mac macaddr": "'08:00:2b:01:02:03'",
    "c_mac8 macaddr8": "'08:00:2b:01:02:03:04:05'",
    "c_point point": "'(1.5,2.5)'",
    "c_box box": "'(2,2),(0,0)'",
    "c_lseg lseg": "'[(0,0),(1,1)]'",
    "c_path path": "'[(0,0),(1,1),(2,0)]'",
    "c_closed path": "'((0,0),(1,1),(2,0))'",
    "c_polygon polygon": "'((0,0),(1,1),(2,0))'",
    "c_circle circle": "'<(1,2),3>'",
    "c_line line": "'{1,2,3}'",
    "c_i4r int4range": "'[1,5)'",
    "c_i8r int8range": "'(,5)'",
    "c_numr numrange": "'(1.5,2.5]'",
    "c_tsr tsrange": "'[2024-01-01 10:00,2024-02-01)'",
    "c_tstzr tstzrange": "'[2024-01-01 00:00+00,)'",
    "c_dr daterange": "'[2024-01-01,2024-01-31]'",
    "c_empty int4range": "'empty'",
    "c_i4mr int4multirange": "'{[1,3),[7,9)}'",
    "c_nummr nummultirange": "'{[1.5,3)}'",
    "c_tsv tsvector": "to_tsvector('simple', 'hello big world')",
    "c_tsq tsquery": "'a & b'",
    "c_lsn pg_lsn": "'16/B374D848'",
    "c_jp jsonpath": "'$.a'",
    "c_ia integer[]": "'{1,2,NULL}'",
    "c_i8a bigint[]": "'{9007199254740993}'",
    "c_ta text[]": """'{a,"b c",NULL,""}'""",
    "c_none text[]": "'{}'",
    "c_na numeric(10,2)[]": "'{1.10,2.20,NULL}'",
    "c_tsa timestamptz[]": "'{2024-02-29 13:14:15.123456+02}'",
    "c_tsna timestamp[]": "'{2024-02-29 13:14:15.123456}'",
    "c_ua uuid[]": "'{0189b2c4-1111-7222-8333-444455556666}'",
    "c_ja jsonb[]": """array['{"a":1.5}'::jsonb]""",
    "c_da date[]": "'{2024-02-29}'",
    "c_ba boolean[]": "'{t,f,NULL}'",
    "c_fa float8[]": "'{1.5,-0.1}'",
    "c_bya bytea[]": "array['\\xdead'::bytea]",
    "c_ina inet[]": "'{10.0.0.1,10.0.0.0/8}'",
    "c_ra int4range[]": "'{\"[1,5)\",empty}'",
    "c_vca varchar(5)[]": "'{ab}'",
    "c_def integer not null default 7": "default",
    "c_nullable text default 'default'": "null",
}
EXTREMES = {
    "date": ("infinity", "-infinity", "0044-03-15 BC", "12024-01-01", "9999-12-31", "0001-01-01"),
    "timestamp": ("infinity", "-infinity", "0044-03-15 12:00:00 BC", "12024-01-01 12:00:00.5", "0001-01-01 00:00:00"),
    "timestamptz": ("infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "12024-01-01 12:00:00+00"),
    "time": ("24:00:00", "00:00:00", "23:59:59.999999"),
    "numeric": ("NaN", "Infinity", "-Infinity", "0", "0.00", "1e-20", "-1e30"),
    "float8": ("NaN", "Infinity", "-Infinity", "1e300", "5e-324"),
    "daterange": ("[2024-01-01,infinity]", "(,)", "empty"),
}


def plain(value):
    """Bring what psycopg reads and what a change holds to one form."""
    if isinstance(value, Interval):
        return value.as_timedelta()
    if isinstance(value, PsycopgRange):
        return Range(value.lower, value.upper, "" if value.isempty else value.bounds)
    if isinstance(value, (Multirange, list)):
        return [plain(each) for each in value]
    return value if type(value).__module__ != "cdc.change.shape" else str(value)


@pytest.fixture
def alltypes(source):
    """Make a table with a column of every type, and one row."""
    for statement in PREPARE:
        source.sql.execute(statement)
    source.sql.execute(f"create table alltypes (id bigint primary key, {', '.join(VALUES)})")
    source.sql.execute(f"insert into alltypes values (1, {', '.join(VALUES.values())})")
    set_json_loads(partial(json.loads, parse_float=Decimal), source.sql)
    return source


def read_row(source, key):
    """Read a row with psycopg, what it gives as text otherwise brought to the same value."""
    cursor = source.sql.execute("select * from alltypes where id = %s", (key,))
    row = dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))
    row["c_money"] = Decimal(row["c_money"].translate(str.maketrans("", "", "$,")))
    row["c_bit1"] = row["c_bit1"] == "1"
    return {name: plain(value) for name, value in row.items()}


async def test_every_type(alltypes, read):
    """A column of every type, snapshot, inserted, updated and deleted, has the value that psycopg reads."""
    assert await alltypes.run("apply", alltypes.declare("public.alltypes")) == 0
    alltypes.sql.execute(f"insert into alltypes values (2, {', '.join(VALUES.values())})")
    expected = [read_row(alltypes, 1), read_row(alltypes, 2)]
    alltypes.sql.execute("update alltypes set c_num = -c_num, c_iv = c_iv * -2, c_ta = null, c_jsonb = '[1.0]' where id = 2")
    expected.append(read_row(alltypes, 2))
    alltypes.sql.execute("delete from alltypes where id = 1")
    *changes, deleted = [message.body for message in await read(TABLE, 5) if message]
    assert [(change.op, change.key) for change in [*changes, deleted]] == [("r", (1,)), ("c", (2,)), ("u", (2,)), ("d", (1,))]
    for change, row in zip(changes, expected, strict=True):
        assert {name: plain(value) for name, value in change.row.items()} == row
        kinds = {name: type(plain(value)) for name, value in change.row.items()}
        assert kinds == {name: type(value) for name, value in row.items()}
    assert (deleted.before, deleted.row) == (None, {"id": 1})


async def test_extremes(source, read):
    """Values at and beyond the edges of Python's types decode to text that PostgreSQL writes itself, or to the same number."""
    columns = ", ".join(f"c_{kind} {kind}" for kind in EXTREMES)
    source.sql.execute(f"create table extremes (id int primary key, {columns})")
    assert await source.run("apply", source.declare("public.extremes")) == 0
    written = [(kind, text) for kind, texts in EXTREMES.items() for text in texts]
    for number, (kind, text) in enumerate(written):
        source.sql.execute(f"insert into extremes (id, c_{kind}) values (%s, %s::text::{kind})", (number, text))
    messages = await read(CapturedTable("operations", "public.extremes"), len(written))
    for message, (kind, text) in zip(messages, written, strict=True):
        value = message.body.row[f"c_{kind}"]
        if isinstance(value, (Infinity, Beyond, Range)):
            assert str(value) == source.sql.execute(f"select (%s::text::{kind})::text", (text,)).fetchone()[0]
        elif text == "NaN":
            assert isnan(value)
        else:
            assert value == source.sql.execute(f"select %s::text::{kind}", (text,)).fetchone()[0]
