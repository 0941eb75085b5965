"""What is sent to the database for an event."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from eventstore import NewEvent, PostgresSettings, RawEvent, event, registry
from eventstore.codec import decode
from eventstore.envelope import Envelope
from eventstore.errors import LimitExceeded, UsageError
from eventstore.postgres.array import NULL, write_integer, write_jsonb, write_moment, write_text
from eventstore.postgres.rows import Row, Writer, envelope
from eventstore.stream import Position


@event("rows-test-thing", version=3)
class Thing:
    name: str


@event("rows-test-tagged", tags=lambda tagged: [f"thing:{tagged.name}"])
class Tagged:
    name: str


def writer(**limits: int) -> Writer:
    """Make a writer with *limits*."""
    return Writer(registry, PostgresSettings(**limits))  # pyright: ignore[reportArgumentType]


def test_what_is_left_out() -> None:
    """What an event does not have is NULL; tags of the class and of the event are one sorted array."""
    when = datetime(2020, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    plain, full, tagged = [
        writer().elements("a", each)
        for each in (
            NewEvent(Thing("é")),
            NewEvent(RawEvent('a"b', {"x": 1}, 7), occurred_at=when, metadata={"k": "v"}),
            NewEvent(Tagged("é"), tags={"z:1", 'a"1'}),
        )
    ]
    assert plain[1:] == (write_text("rows-test-thing"), write_integer(3), write_jsonb('{"name":"é"}'.encode()), NULL, NULL, NULL)
    assert full[1:3] == (write_text('a"b'), write_integer(7))
    assert full[3:] == (write_jsonb(b'{"x":1}'), write_jsonb(b'{"k":"v"}'), write_moment(when), NULL)
    assert tagged[6] == write_text('{"a\\"1","thing:é","z:1"}')


@pytest.mark.parametrize("tags", [[""], ["x" * 257], ["a\0"], [7], "text"])
def test_what_is_no_tag(tags: Any) -> None:
    """A tag is a text of 1 to 256 characters without NUL, and several come as a collection."""
    with pytest.raises(UsageError, match="tag"):
        writer().elements("a", NewEvent(Thing("x"), tags=tags))


def test_too_many_tags() -> None:
    """More tags than the limit are refused with its name and setting."""
    writer(max_event_tags=2).elements("a", NewEvent(Tagged("x"), tags=["a"]))
    with pytest.raises(LimitExceeded, match=r"3 tags.*max_event_tags=2.*REFOLD_POSTGRES_MAX_EVENT_TAGS"):
        writer(max_event_tags=2).elements("a", NewEvent(Tagged("x"), tags=["a", "b"]))


def test_limit_counts_data_and_metadata() -> None:
    """The limit is on the bytes of data and metadata together, and its message names id, size, limit and setting."""
    new = NewEvent(RawEvent("x", {"t": "é" * 10}), metadata={"k": "v"})
    _, data, metadata = writer().parts(new)
    size = len(data) + len(metadata)
    assert size > len('{"t":""}') + 20
    writer(max_event_bytes=size).parts(new)
    said = rf"{new.id}.*{size} bytes.*max_event_bytes={size - 1}.*REFOLD_POSTGRES_MAX_EVENT_BYTES"
    with pytest.raises(LimitExceeded, match=said):
        writer(max_event_bytes=size - 1).parts(new)


@pytest.mark.parametrize("data", [{"a": "\0"}, {"\0": 1}, {"a": [{"b": "x\0y"}]}])
def test_nul_is_refused(data: dict[str, Any]) -> None:
    """A NUL character anywhere is refused, since PostgreSQL can't store it."""
    with pytest.raises(UsageError, match="NUL"):
        writer().parts(NewEvent(RawEvent("x", data)))


@pytest.mark.parametrize("data", [{"a": "\\u0000"}, {"a": ["\\\\u0000"]}, {"\\u0000": 1}])
def test_what_only_looks_like_nul(data: dict[str, Any]) -> None:
    """A backslash before u0000 is text like any other."""
    assert decode(writer().parts(NewEvent(RawEvent("x", data)))[1]) == data


def test_times_carry_their_zone() -> None:
    """A time without a zone is refused by name."""
    with pytest.raises(UsageError, match=r"datetime.now\(UTC\)"):
        writer().elements("a", NewEvent(Thing("x"), occurred_at=datetime(2020, 1, 1)))  # noqa: DTZ001
    writer().elements("a", NewEvent(Thing("x"), occurred_at=datetime(2020, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(("metadata", "tags"), [("{}", None), ('{"by": "me"}', ["a", "b"])])
def test_row_becomes_an_envelope(metadata: str, tags: list[str] | None) -> None:
    """The envelope of a row is the one that its class makes of the same values, metadata of its own included."""
    now, some = datetime.now(UTC), UUID(int=7)
    row: Row = ("s", 4, 5, 6, some, "rows-test-thing", 3, '{"name": "x"}', metadata, now, now, tags)
    made = envelope(row, registry)
    assert made == Envelope(
        stream="s",
        version=4,
        position=Position(5, 6),
        id=some,
        type="rows-test-thing",
        schema_version=3,
        data=Thing("x"),
        metadata=decode(metadata),
        occurred_at=now,
        recorded_at=now,
        tags=frozenset(tags or ()),
    )
    assert made.metadata is not envelope(row, registry).metadata
