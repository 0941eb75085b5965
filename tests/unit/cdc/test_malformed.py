"""Nothing malformed becomes a row: it is refused with the reason."""

from __future__ import annotations

import json

import pytest

from cdc.change import Decoder, read_boundary
from eventstore.errors import UndecodableRecord, UsageError

SOURCE = {"sequence": '[null,"1"]', "schema": "public", "table": "t", "ts_us": 1, "ts_ms": 1, "db": "d", "lsn": 1, "txId": 1}


def decode(payload, columns=None, key=b'{"id":1}'):
    """Decode a schemaless value."""
    return Decoder(columns=columns or {"id": "bigint", "at": "date"}).decode(key, json.dumps(payload).encode())


def envelope(**changes):
    """Make a sound envelope but for *changes*."""
    return {"before": None, "after": {"id": 1, "at": 1}, "source": SOURCE, "op": "c", "transaction": None, **changes}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (envelope(op="x"), "op 'x'"),
        (envelope(after=None), "no row after"),
        (envelope(after={"id": 1, "at": "yesterday"}), "column at: 'yesterday'"),
        (envelope(after={"id": 1, "at": [1]}), "column at"),
        (envelope(after={"id": 1}), "column at is missing: absent is not NULL"),
        (envelope(source={**SOURCE, "sequence": None}), "malformed change"),
        (envelope(source={**SOURCE, "sequence": "[1]"}), "malformed change"),
        (envelope(source=None), "malformed change"),
        ({"status": "BEGIN", "id": "1:2"}, "read_boundary"),
        ([1], "not a Debezium envelope"),
        (7, "not a Debezium envelope"),
    ],
)
def test_refused(payload, reason):
    """A malformed envelope is refused, with what is wrong in it."""
    with pytest.raises(UndecodableRecord, match=reason):
        decode(payload)


@pytest.mark.parametrize("value", [b"", b"{", b"\xff\xfe", b'{"op":"c"', b"nan"])
def test_not_json(value):
    """Bytes that are no JSON are refused, with a schema expected or not."""
    for decoder in (Decoder(), Decoder(columns={"id": "int"})):
        with pytest.raises(UndecodableRecord):
            decoder.decode(b'{"id":1}', value)


def test_schema_missing():
    """A schemaless record without declared columns is refused, with what to do."""
    with pytest.raises(UndecodableRecord, match=r"schemas\.enable"):
        Decoder().decode(b'{"id":1}', json.dumps(envelope()).encode())


def test_unknown_semantic_type():
    """A semantic type that is not known is refused by name and not guessed."""
    field = {"type": "int64", "name": "com.example.Unheard", "field": "at"}
    schema = {"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": [field]}]}
    with pytest.raises(UndecodableRecord, match=r"column at: the semantic type com\.example\.Unheard"):
        Decoder().decode(None, json.dumps({"schema": schema, "payload": envelope()}).encode())


def test_inner_arrays():
    """What Debezium makes of arrays of several dimensions is refused instead of passed on."""
    items = {"type": "array", "items": {"type": "string", "optional": True}, "field": "at"}
    schema = {"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": [items]}]}
    payload = envelope(after={"at": ["[Ljava.lang.String;@2d8dda4a"]})
    with pytest.raises(UndecodableRecord, match="several dimensions"):
        Decoder().decode(None, json.dumps({"schema": schema, "payload": payload}).encode())


def test_no_boundary():
    """A change is no transaction boundary."""
    with pytest.raises(UndecodableRecord, match="not a transaction record"):
        read_boundary(json.dumps(envelope()).encode())


@pytest.mark.parametrize(("declared", "hint"), [("nummeric", "did you mean numeric"), ("mood", "declare an enum as enum")])
def test_unknown_declared_type(declared, hint):
    """A declared type that is not known is a usage error with a hint."""
    with pytest.raises(UsageError, match=hint):
        Decoder(columns={"id": declared})


def test_other_database():
    """A change of another database is refused by its connector's name: its order would be a guess."""
    source = {"connector": "mysql", "file": "binlog.1", "pos": 154, "db": "shop", "table": "item"}
    schema = {"type": "struct", "fields": []}
    document = {"schema": schema, "payload": {"op": "c", "before": None, "after": {"id": 1}, "source": source}}
    with pytest.raises(UndecodableRecord, match="Debezium's connector for mysql"):
        Decoder().decode(None, json.dumps(document).encode())
