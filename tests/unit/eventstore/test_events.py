"""Reading the events topic."""

from typing import Any, NamedTuple

import pytest

from eventstore import Position, event
from eventstore.codec import encode
from eventstore.errors import UndecodableRecord, UnknownEvent
from eventstore.log.events import EventSource
from eventstore.settings import KafkaSettings


@event("events-test-paid", version=2)
class Paid:
    cents: int


class Given(NamedTuple):
    """A record as the log hands it over."""

    value: bytes | None
    topic: str = "t"
    partition: int = 3
    offset: int = 41
    timestamp: int = 0
    key: bytes | None = b"a"
    headers: tuple[tuple[str, bytes], ...] = ()


def document(**changes: Any) -> dict[str, Any]:
    """Give a good document with *changes*."""
    good = {
        "specversion": "1.0",
        "id": "0190163d-8694-739b-aea5-966c26f8ad91",
        "source": "refold",
        "type": "events-test-paid",
        "subject": "order-1",
        "time": "2024-01-01T00:00:00+00:00",
        "streamversion": 4,
        "schemaversion": 2,
        "position": "12.34",
        "recordedat": "2024-01-01T00:00:01+00:00",
        "data": {"cents": 5},
    }
    return {**good, **changes}


def test_wanted_and_unwanted() -> None:
    """A wanted event is decoded, another type and a tombstone are passed over, and the detail is the envelope."""
    source = EventSource()
    read = source.reader(frozenset({"events-test-paid"}))
    message = read(Given(encode(document())))
    assert message is not None
    assert (message.name, message.body, message.key) == ("events-test-paid", Paid(5), "order-1")
    envelope = source.detail(message.body, message.raw)
    assert (envelope.position, envelope.version, envelope.data) == (Position(12, 34), 4, Paid(5))
    assert read(Given(encode(document(type="other")))) is None
    assert read(Given(None)) is None


def test_names() -> None:
    """The source is named, its topic follows the settings, and a type that no class answers for is refused at once."""
    source = EventSource()
    assert (source.name, source.topic(KafkaSettings(topic_prefix="shop"))) == ("events", "shop.events")
    with pytest.raises(UnknownEvent, match="events-test-nothing"):
        source.reader(frozenset({"events-test-nothing"}))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"5",
        b"null",
        b'"events-test-paid"',
        encode({}),
        encode(document(type=None)),
        encode(document(type=[])),
        encode(document(data=None)),
        encode(document(data={"cents": "many"})),
        encode(document(schemaversion=3)),
        encode(document(schemaversion="2")),
        encode({key: each for key, each in document().items() if key != "data"}),
        encode({key: each for key, each in document().items() if key != "subject"}),
    ],
)
def test_malformed_records(value: bytes) -> None:
    """Whatever a record holds, the reader answers with a message, with nothing, or with UndecodableRecord."""
    read = EventSource().reader(frozenset({"events-test-paid"}))
    if b'"type":null' in value:
        assert read(Given(value)) is None
        return
    with pytest.raises(UndecodableRecord):
        read(Given(value))


def test_position_of_anything() -> None:
    """The position is read whatever the type, and nothing is raised for what has none."""
    source = EventSource()
    assert source.position(Given(encode(document(type="other")))) == Position(12, 34)
    for value in (None, b"", b"{}", b"[]", b'{"position": 5}', b'{"position": "a.b"}'):
        assert source.position(Given(value)) is None
