"""Avro is other bytes for the same changes: every captured record, written as Connect's converters write it, decodes to what JSON gives."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, ClassVar
from uuid import UUID

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.avro import AvroTable
from cdc.avro.decode import AvroDecoder
from cdc.avro.wire import Reference, split_frame
from cdc.change import Decoder
from cdc.connect.registry import Registry
from cdc.connect.settings import RegistrySettings
from eventstore.errors import RefoldError, UndecodableRecord, Unreachable

KINDS = {
    "int8": "int", "int16": "int", "int32": "int", "int64": "long", "float": "float", "double": "double", "boolean": "boolean",
    "string": "string", "bytes": "bytes",
}  # fmt: skip
TABLES = ("inv.alltypes", "inv.plain", "inv.full_ri", "inv.nopk", "inv.heartbeat", "t1.message", "public.toasted")


class Writer:
    """Writes records as the Avro converters of Connect do, and is the registry for them."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}
        self._count = 0

    def write(self, document: bytes, *, frame: str = "confluent") -> bytes:
        """Write a JSON document with its schema in Avro."""
        whole = json.loads(document)
        avro = self.convert(whole["schema"])
        number = next((number for number, known in self.schemas.items() if known == avro), None)
        if number is None:
            number = str(len(self.schemas) + 1)
            self.schemas[number] = avro
        out = BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(bare(avro)), prepare(whole["schema"], whole["payload"]))
        head = {
            "confluent": b"\0" + int(number).to_bytes(4, "big"),
            "apicurio": b"\0" + int(number).to_bytes(8, "big"),
            "bare": b"",
        }
        return head[frame] + out.getvalue()

    def find(self, reference: Reference) -> Any:
        """Give a schema by its number, however that is called."""
        return self.schemas[str(UUID(reference.value).int) if reference.kind == "guid" else reference.value]

    def convert(self, schema: dict[str, Any]) -> Any:
        """Give the Avro schema that AvroData makes of a Connect schema: names and parameters as properties, optional as a union."""
        self._count = 0
        return self._convert(schema, {})

    def _convert(self, schema: dict[str, Any], known: dict[str, str]) -> Any:
        made = self._make(schema, known)
        return ["null", made] if schema.get("optional") else made

    def _make(self, schema: dict[str, Any], known: dict[str, str]) -> Any:
        kind, name = schema["type"], schema.get("name")
        properties: dict[str, Any] = {"connect.name": name, "connect.version": 1} if name else {}
        if schema.get("parameters"):
            properties["connect.parameters"] = schema["parameters"]
        if kind == "array":
            return {"type": "array", "items": self._convert(schema["items"], known), **properties}
        if kind == "map":
            return {"type": "map", "values": self._convert(schema["values"], known), **properties}
        if kind == "struct":
            return self._make_record(schema, known, properties)
        if kind in ("int8", "int16"):
            properties["connect.type"] = kind
        if name == "org.apache.kafka.connect.data.Decimal":
            properties |= {"logicalType": "decimal", "scale": int(schema["parameters"]["scale"]), "precision": 64}
        return {"type": KINDS[kind], **properties} if properties else KINDS[kind]

    def _make_record(self, schema: dict[str, Any], known: dict[str, str], properties: dict[str, Any]) -> Any:
        identity = json.dumps([schema.get("name"), schema["fields"]])
        if identity in known:
            return known[identity]
        self._count += 1
        full = known[identity] = f"test.{(schema.get('name') or 'Row').rpartition('.')[2]}{self._count}"
        fields = [{"name": each["field"], "type": self._convert(each, known)} for each in schema["fields"]]
        return {"type": "record", "name": full.rpartition(".")[2], "namespace": "test", "fields": fields, **properties}


def bare(avro: Any) -> Any:
    """Take logical types off, as the values are given raw."""
    if isinstance(avro, dict):
        return {name: bare(each) for name, each in avro.items() if name != "logicalType"}
    return [bare(each) for each in avro] if isinstance(avro, list) else avro


def prepare(schema: dict[str, Any], value: Any) -> Any:
    """Give a JSON value as Connect holds it: bytes as bytes, NaN as a float."""
    if value is None:
        return None
    kind = schema["type"]
    if kind == "bytes":
        return base64.b64decode(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "array":
        return [prepare(schema["items"], each) for each in value]
    if kind == "map":
        return {name: prepare(schema["values"], each) for name, each in value.items()}
    if kind == "struct":
        return {each["field"]: prepare(each, value.get(each["field"])) for each in schema["fields"]}
    return value


def records(captured) -> list[Any]:
    """Give the captured records that have schemas."""
    return [each for table in TABLES for name in ("envelope-with-schema", "toast-by-type") for each in captured(name, table)]


@pytest.mark.parametrize("full", [False, True])
def test_same_changes(captured, full):
    """Each record of every table, all types and unchanged large values among them, gives the change that its JSON gives."""
    writer = Writer()
    found = records(captured)
    assert len(found) > 40
    for record in found:
        expected = Decoder(full=full).decode(record.key, record.value)
        value = record.value and writer.write(record.value)
        key = record.key and writer.write(record.key)
        change = AvroDecoder(writer.find, full=full).decode_record(key, value, ())
        assert repr(change) == repr(expected), record.topic


def test_framings(captured):
    """The schema's id is found in each of its places: 4 bytes, 8 bytes, headers of Confluent and of Apicurio."""
    writer = Writer()
    record = captured("envelope-with-schema", "inv.plain")[0]
    expected = Decoder().decode(record.key, record.value)
    framed = {
        frame: (writer.write(record.key, frame=frame), writer.write(record.value, frame=frame))
        for frame in ("confluent", "apicurio", "bare")
    }
    guids = [(f"__{side}_schema_id", b"\1" + UUID(int=number).bytes) for number, side in ((1, "key"), (2, "value"))]
    ids = [(f"apicurio.{side}.globalId", number.to_bytes(8, "big")) for number, side in ((1, "key"), (2, "value"))]
    for framing, frame, headers in (
        ("confluent", "confluent", ()), ("confluent", "bare", guids), ("apicurio", "apicurio", ()), ("apicurio", "bare", ids),
        ("apicurio-confluent", "confluent", ()),
    ):  # fmt: skip
        decoder = AvroDecoder(writer.find, framing)
        assert decoder.decode_record(*framed[frame], headers) == expected


def test_bytes():
    """A record written by hand: its bytes, its schema as the converter registers it, and the change."""
    source = {"type": "record", "name": "Source", "fields": [
        {"name": "schema", "type": "string"}, {"name": "table", "type": "string"}, {"name": "sequence", "type": "string"},
        {"name": "ts_us", "type": "long"}]}  # fmt: skip
    price = {
        "type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2, "connect.version": 1,
        "connect.parameters": {"scale": "2"}, "connect.name": "org.apache.kafka.connect.data.Decimal",
    }  # fmt: skip
    day = {"type": "int", "connect.version": 1, "connect.name": "io.debezium.time.Date"}
    row = {"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "int"}, {"name": "price", "type": ["null", price]}, {"name": "day", "type": ["null", day]}]}  # fmt: skip
    envelope = {"type": "record", "name": "Envelope", "namespace": "shop.item", "fields": [
        {"name": "before", "type": ["null", row]}, {"name": "after", "type": ["null", "Value"]}, {"name": "source", "type": source},
        {"name": "op", "type": "string"}]}  # fmt: skip
    row_bytes = bytes.fromhex("02 0e 02 04 ff7b 02 8cb502")  # after: id 7, price of two bytes, day 19782
    document = b"\0\0\0\0\7" + b"\0" + row_bytes + b"\x0cpublic" + b"\x08item" + b"\x12" + b'["1","2"]' + b"\0" + b"\x02c"
    change = AvroDecoder(lambda reference: {"7": envelope}[reference.value]).decode(None, document)
    assert change is not None
    assert (change.op, change.table, change.order) == ("c", "public.item", (1, 2))
    assert repr(change.after) == "{'id': 7, 'price': Decimal('-1.33'), 'day': datetime.date(2024, 2, 29)}"


@given(st.binary(max_size=60))
def test_garbage(document):
    """Whatever is no Avro of its schema is refused with UndecodableRecord, never with another error."""
    schema = {"type": "record", "name": "Envelope", "fields": [
        {"name": "op", "type": "string"}, {"name": "ids", "type": {"type": "array", "items": "long"}}]}  # fmt: skip
    for value in (document, b"\0\0\0\0\1" + document):
        with pytest.raises(UndecodableRecord):
            AvroDecoder(lambda _: schema).decode(None, value)


def test_frame_refused():
    """A value without a frame says what it begins with and which setting to look at."""
    with pytest.raises(UndecodableRecord, match=r"begins with b'\{\"op\".*framing="):
        split_frame(b'{"op": "c"}', (), "value", "confluent")


def test_maps_as_entries():
    """A map that comes as a list of entries, because its keys may be null, is a dict."""
    entry = {"type": "record", "name": "MapEntry", "connect.internal.type": "MapEntry", "fields": [
        {"name": "key", "type": ["null", "string"]}, {"name": "value", "type": ["null", "string"]}]}  # fmt: skip
    schema = {"type": "record", "name": "Key", "fields": [{"name": "tags", "type": {"type": "array", "items": entry}}]}
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), {"tags": [{"key": "a", "value": None}]})
    plan, row = AvroDecoder(lambda _: schema).split_key(b"\0\0\0\0\1" + out.getvalue())
    assert plan.read(row) == {"tags": {"a": None}}


class Answers(BaseHTTPRequestHandler):
    """A registry that has what `pages` says."""

    pages: ClassVar[dict[str, tuple[int, Any]]] = {}
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["authorization"]))
        status, document = self.pages.get(self.path, (404, {}))
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    """Serve schemas on this machine, and give the URL."""
    Answers.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_registry(registry):
    """Both registries are asked by their own paths, references are put in place, and the login is sent."""
    money = {"type": "record", "name": "Money", "namespace": "shop", "fields": [{"name": "cents", "type": "long"}]}
    order = {
        "type": "record",
        "name": "Order",
        "fields": [{"name": "a", "type": "shop.Money"}, {"name": "b", "type": ["null", "shop.Money"]}],
    }
    Answers.pages = {
        "/schemas/ids/1": (
            200,
            {"schema": json.dumps(order), "references": [{"name": "shop.Money", "subject": "m/1", "version": 3}]},
        ),
        "/subjects/m%2F1/versions/3": (200, {"schema": json.dumps(money)}),
        "/ids/globalIds/5": (200, money),
        "/schemas/ids/9": (500, {}),
        "/schemas/ids/8": (401, {}),
    }
    client = Registry(RegistrySettings(url=registry, username="ada", password="secret"))
    found = client.find("id", "1")
    assert found["fields"][0]["type"] == money
    assert found["fields"][1]["type"] == ["null", "shop.Money"]
    assert client.find("globalId", "5") == money
    assert {login for _, login in Answers.asked} == {f"Basic {base64.b64encode(b'ada:secret').decode()}"}
    with pytest.raises(UndecodableRecord, match="has nothing at /schemas/ids/2"):
        client.find("id", "2")
    with pytest.raises(Unreachable, match="REFOLD_REGISTRY_URL"):
        client.find("id", "9")
    with pytest.raises(RefoldError, match="refused /schemas/ids/8: 401"):
        client.find("id", "8")


def test_table(registry, captured, monkeypatch):
    """A table in Avro is read as any captured table, by the registry of the settings, each schema being asked for once."""
    monkeypatch.setenv("REFOLD_REGISTRY_URL", registry)
    writer, table = Writer(), AvroTable("t1", "inv.plain")
    read, plain = table.reader(frozenset({"inv.plain"})), Decoder()
    for record in captured("envelope-with-schema", "inv.plain"):
        expected = plain.decode(record.key, record.value)
        record.key, record.value = (each and writer.write(each) for each in (record.key, record.value))
        Answers.pages = {f"/schemas/ids/{number}": (200, {"schema": json.dumps(each)}) for number, each in writer.schemas.items()}
        message = read(record)
        assert (message and message.body) == expected
    assert len(Answers.asked) == len({path for path, _ in Answers.asked}) == len(writer.schemas)
    assert table.reader(frozenset())(record) is None


def test_registry_away(registry):
    """A registry that does not answer is unreachable, which readers wait for, and no reason to park a record."""
    settings = RegistrySettings(url="http://127.0.0.1:1", timeout_s=1)
    with pytest.raises(Unreachable, match="does not answer"):
        Registry(settings).find("id", "1")
    assert registry
