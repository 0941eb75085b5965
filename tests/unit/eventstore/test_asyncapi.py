"""The AsyncAPI document: valid by the official schema, and true of what the relay writes."""

import dataclasses
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from eventstore import Envelope, Events, Position
from eventstore.log.wire import compose_envelope
from eventstore.privacy import Personal, Subject
from eventstore.schema import Recorded
from eventstore.schema.asyncapi import build_document
from eventstore.schema.derivation import derive_written
from eventstore.settings import KafkaSettings, RelaySettings
from tests.unit.eventstore.test_history import RICH, Line, Paid, Shipped, Tree, kind

FIXTURE = Path(__file__).parents[2] / "fixtures" / "asyncapi" / "3.0.0.json"
CLASSES = {"order-rich": RICH, "order-paid": Paid, "order-shipped": Shipped, "order-tree": Tree, "order-line": Line}


@dataclasses.dataclass(frozen=True)
class Customer:
    id: Subject[str]
    name: Personal[str]
    born: Personal[date] | None = None


OLD = {"type": "object", "description": "A line, once."}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document of a topic with all kinds of classes, one of them in two versions."""
    recorded = [Recorded(name, 2, derive_written(kind(2, python))) for name, python in CLASSES.items()]
    kafka = KafkaSettings(bootstrap="a:9092, b:9092", topic_prefix="shop", security_protocol="SASL_SSL")
    made = build_document([*recorded, Recorded("order-line", 1, OLD)], kafka, RelaySettings(), title="Shop", version="3")
    return json.loads(json.dumps(made))


def test_valid(document: dict[str, Any]) -> None:
    """The official JSON Schema of AsyncAPI 3.0.0 takes it, and each of its parts is needed."""
    official = Draft7Validator(json.loads(FIXTURE.read_text("utf-8")))
    assert [f"{list(each.path)}: {each.message[:200]}" for each in official.iter_errors(document)] == []
    for broken in ({**document, "asyncapi": "2.6.0"}, {**document, "channels": {"events": {"adress": 1}}}):
        assert not official.is_valid(broken)


def test_personal_data_is_sealed() -> None:
    """A personal field is documented, and shown, in the sealed form that the topic carries."""
    schema = derive_written(kind(1, Customer))
    made = build_document([Recorded("customer", 1, schema)], KafkaSettings(), RelaySettings(), title="Shop", version="3")
    properties = made["components"]["schemas"]["customer.v1"]["properties"]
    assert properties["id"]["type"] == "string"
    assert properties["name"]["required"] == ["$sealed"]
    assert properties["born"]["anyOf"][0]["required"] == ["$sealed"]
    assert set(made["components"]["messages"]["customer.v1"]["examples"][0]["payload"]["data"]["name"]) == {"$sealed"}


def test_references(document: dict[str, Any]) -> None:
    """Every reference leads to something in the document."""

    def walk(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [each for inner in value.values() for each in walk(inner)]
        return [each for inner in value for each in walk(inner)] if isinstance(value, list) else []

    references = walk(document)
    assert len(references) > 20
    for each in references:
        found: Any = document
        for part in each.removeprefix("#/").split("/"):
            found = found[part]


def test_says_where(document: dict[str, Any]) -> None:
    """The channel is the topic, with its bindings; the servers are the brokers; each type and version is a message."""
    channel = document["channels"]["events"]
    assert channel["address"] == channel["bindings"]["kafka"]["topic"] == "shop.events"
    assert channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] == -1
    assert [(each["host"], each["protocol"]) for each in document["servers"].values()] == [
        ("a:9092", "kafka-secure"),
        ("b:9092", "kafka-secure"),
    ]
    assert {"order-line.v1", "order-line.v2", "order-paid.v2"} < set(channel["messages"])
    assert {each["action"] for each in document["operations"].values()} == {"send", "receive"}
    assert document["components"]["messages"]["order-line.v1"]["summary"] == "A line, once."


def test_true_of_the_wire(document: dict[str, Any]) -> None:
    """What the relay writes fits the payload of its message, and another version's data does not."""
    events = Events()
    events.add("order-line", 2, Line)
    envelope = Envelope(
        "order-1", 3, Position(7, 9), UUID(int=5), "order-line", 2, Line("a", 1), {"traceparent": "00-1", "user": 4},
        datetime.now(UTC), datetime.now(UTC),
    )  # fmt: skip
    written = json.loads(compose_envelope(envelope, "shop"))
    payload = {**document["components"]["messages"]["order-line.v2"]["payload"], "components": document["components"]}
    validator = Draft202012Validator(payload)
    validator.validate(written)
    for change in ({"schemaversion": 1}, {"data": {"sku": "a"}}, {"type": "order-paid"}, {"position": 7}):
        assert not validator.is_valid({**written, **change})
    assert not validator.is_valid({key: value for key, value in written.items() if key != "subject"})


def test_examples(document: dict[str, Any]) -> None:
    """Every message has an example that fits its payload."""
    for name, message in document["components"]["messages"].items():
        payload = {**message["payload"], "components": document["components"]}
        assert message["examples"], name
        Draft7Validator(payload).validate(message["examples"][0]["payload"])
