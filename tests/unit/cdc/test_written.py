"""Row classes that `cdc types` wrote are read back column for column, and compared with tables as they are."""

import pytest

from cdc.change.written import compare_written, read_written
from cdc.connect.declaration import Connector
from cdc.stencil import write_rows
from eventstore.errors import UsageError


def column(table, called, kind, **facts):
    """Give the catalogue's facts of a column."""
    plain = {
        "kind": "b",
        "element": None,
        "element_kind": None,
        "is_domain": False,
        "generated": False,
        "large": True,
        "full": False,
    }
    return {"table_name": table, "column_name": called, "type": kind, "name": kind, "required": True, **plain, **facts}


TABLES = [
    column("public.seat", "id", "integer", name="int4"),
    column("public.seat", "tags", "text[]", name="_text", element="text", element_kind="b", required=False),
    column("public.seat", "total", "integer", name="int4", generated=True),
    column("public.odd", "from", "numeric(10,2)", name="numeric", required=False),
]


def test_read_back():
    """Both ways of writing a class are read, and what records may lack is left out."""
    text = write_rows(Connector(name="shop", dsn="postgresql://a@b/c", tables=("public.seat", "public.odd")), TABLES)
    found = read_written(text, "rows.py")
    assert found == {"public.seat": {"id": "integer not null", "tags": "text[]"}, "public.odd": {"from": "numeric(10,2)"}}
    assert compare_written(found, found) == []


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"id": "bigint not null", "tags": "text[]"}, []),
        ({"id": "integer", "tags": "text[]"}, ["column id was integer not null and is integer"]),
        ({"id": "uuid not null", "tags": "text[]"}, ["column id was integer not null and is uuid not null"]),
        ({"id": "integer not null"}, ["column tags (text[]) is gone"]),
        (
            {"number": "integer not null", "tags": "text[]", "more": "date"},
            ["it was probably renamed", "column more is new (date)"],
        ),
    ],
)
def test_compared(there, words):
    """A column that has other values in Python, or may be None now, is told, as is one that came, went or was renamed."""
    told = [
        str(each)
        for _, each in compare_written({"public.seat": {"id": "integer not null", "tags": "text[]"}}, {"public.seat": there})
    ]
    assert len(told) == len(words)
    assert all(word in line for word, line in zip(words, told, strict=True))


@pytest.mark.parametrize("text", ["x = 1\n", "class :\n", "\0"])
def test_another_module(text):
    """A file of something else is refused, with the command that writes one."""
    with pytest.raises(UsageError, match="cdc types"):
        read_written(text, "rows.py")
