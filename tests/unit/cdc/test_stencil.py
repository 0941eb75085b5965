"""Row classes: the annotation of every type, stable text, and drift of records from what a class declares."""

from __future__ import annotations

import tomllib
import typing
from pathlib import Path

import pytest

from cdc import CapturedTable
from cdc.change.annotation import annotate, name_sent, name_written
from cdc.change.drift import find_drift, list_columns
from cdc.connect.declaration import Connector
from cdc.stencil import compare_rows, write_rows
from eventstore.codec import decode
from eventstore.errors import SchemaDrifted
from tests.typing import shop_rows as module

MATRIX = tomllib.loads((Path(__file__).parents[2] / "matrix" / "types.toml").read_text("utf-8"))["columns"]
CONNECTOR = Connector("operations", "postgresql://me@localhost:5432/shop", ("public.order", "sales.order", "public.order-lines"))


def column(table, name, written, base="int4", **more):
    """Give a column's facts as the catalogue does."""
    facts = {"kind": "b", "element": None, "element_kind": None, "is_domain": False, "required": True}
    plain = {"generated": False, "large": False, "full": False}
    return {"table_name": table, "column_name": name, "type": written, "name": base, **facts, **plain, **more}


COLUMNS = [
    column("public.order", "id", "integer"),
    column("public.order", "total", "numeric(10,2)", "numeric", is_domain=True, required=False),
    column("public.order", "note", "text", "text", large=True, required=False),
    column("public.order", "tags", "text[]", "_text", element="text", element_kind="b"),
    column("public.order", "seen", "timestamp with time zone", "timestamptz"),
    column("public.order", "double", "integer", generated=True),
    column("public.order-lines", "order id", "integer"),
    column("public.order-lines", "class", "mood", "mood", kind="e"),
    column("sales.order", "data", "jsonb", "jsonb", required=False),
]


@pytest.mark.parametrize("each", MATRIX, ids=lambda each: each["type"])
def test_every_type(each):
    """Each type's annotation holds what the matrix of types, which is read from the real connector, says that a change holds."""
    written = each.get("base") or each.get("declared") or each["type"]
    hint = annotate(name_written(written), single_bit=written == "bit(1)")
    assert hint == "Any" if each["python"] == "dict" and written != "hstore" else each["python"] in hint


def test_writes_a_module():
    """What is written can be imported: a class for each table, named apart, and the sources that handlers subscribe to."""
    hints = typing.get_type_hints(module.PublicOrder)
    assert hints["note"] == str | None | module.Unchanged
    assert (hints["tags"], hints["id"]) == (list[str | None], int)
    assert "double" in hints
    assert "double" not in list_columns(module.PublicOrder)
    assert list_columns(module.OrderLines) == {"order id": "integer not null", "class": "mood not null"}
    assert (module.SALES_ORDER.table, module.SALES_ORDER.row) == ("sales.order", module.SalesOrder)
    assert (module.PUBLIC_ORDER.columns, module.PUBLIC_ORDER.row) == ({"total": "numeric(10,2)"}, module.PublicOrder)


def test_text_is_stable():
    """Equal tables give the text that type checkers and ruff look at in `tests/typing`; a difference is shown."""
    path = Path(module.__file__)
    assert compare_rows(path.read_text("utf-8"), write_rows(CONNECTOR, COLUMNS), "rows.py") == ""
    changed = write_rows(CONNECTOR, [each for each in COLUMNS if each["column_name"] != "note"])
    assert '-    note: Annotated[str | Unchanged | None, "text"]' in compare_rows(path.read_text("utf-8"), changed, "rows.py")


SCHEMA = [
    {"field": "id", "type": "int32"},
    {"field": "total", "type": "string", "parameters": {"__debezium.source.column.type": "NUMERIC"}},
    {"field": "seen", "type": "string", "name": "io.debezium.time.ZonedTimestamp"},
    {"field": "tags", "type": "array", "items": {"type": "string"}},
]
DECLARED = {"id": "bigint not null", "total": "numeric(10,2)", "seen": "timestamp with time zone", "tags": "text[]"}


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        (DECLARED, []),
        ({**DECLARED, "total": "integer"}, ["column total was integer and is numeric"]),
        ({**DECLARED, "tags": "integer[]"}, ["column tags was integer[] and is text[]"]),
        ({"id": "integer", "total": "numeric", "seen": "timestamptz"}, ["column tags is new (_text)"]),
        ({**DECLARED, "kind": "text"}, ["column kind (text) is gone"]),
        (
            {"id": "integer", "sum": "numeric", "seen": "timestamptz", "tags": "text[]"},
            ["column sum (numeric) is gone, and total (numeric) is new: it was probably renamed"],
        ),
    ],
)
def test_drift(declared, found):
    """A column that is new, gone, renamed or of another type is named; one whose Python type is the same has not drifted."""
    assert [str(each) for each in find_drift(declared, SCHEMA)] == found


def test_captured_columns_have_not_drifted(captured):
    """What the real connector sends of a column has the type under which it was captured, as far as it tells one."""
    for record in captured("envelope-with-schema", "inv.alltypes"):
        if record.value:
            after = next(each for each in decode(record.value)["schema"]["fields"] if each["field"] == "after")
            names = {each["field"]: name_sent(each) for each in after["fields"]}
            assert names["id"] in ("int4", "int8")
            assert len([each for each in names.values() if each is None]) < 5


def test_refuses_what_has_drifted(captured):
    """A record whose columns are not the declared ones is refused with column, types and the way out; young ones may be missing."""

    class Plain(typing.TypedDict):
        id: typing.Annotated[int, "integer not null"]
        colour: typing.Annotated[str, "text"]

    [record, *_] = [each for each in captured("envelope-with-schema", "inv.plain") if each.value]
    wanted = frozenset({"inv.plain"})
    with pytest.raises(SchemaDrifted, match=r"inv\.plain: column colour \(text\) is gone.*cdc types"):
        CapturedTable("t1", "inv.plain", row=Plain).reader(wanted)(record)
    message = CapturedTable("t1", "inv.plain", row=Plain, young=("colour",)).reader(wanted)(record)
    assert message.body.key == (1,)
