"""What any event store promises: the one in memory and the one in PostgreSQL pass the same tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from eventstore import (
    ANY_VERSION,
    NO_STREAM,
    START,
    STREAM_EXISTS,
    DuplicateEvent,
    EventStore,
    NewEvent,
    RawEvent,
    UnknownEvent,
    WrongExpectedVersion,
    event,
)
from eventstore.errors import ConditionFailed, LimitExceeded, UsageError
from eventstore.query import FailIf, Query, QueryItem
from eventstore.store import Append
from tests.stack.waiting import eventually


@event("contract-noted", tags=lambda noted: [f"topic:{noted.topic}"])
class Noted:
    topic: str
    text: str = ""


async def texts(events: EventStore, stream: str, **options: object) -> list[str]:
    return [each.data.topic async for each in events.read_stream(stream, **options)]


async def test_versions(events: EventStore) -> None:
    """Versions count from 1 without gaps, positions grow, and tokens are those of the last event."""
    first = await events.append("a", [Noted("x")])
    second = await events.append("a", [Noted("y"), Noted("z")], expected=1)
    assert (first.version, second.version) == (1, 3)
    assert second.position > first.position > START
    found = [each async for each in events.read_stream("a")]
    assert [each.version for each in found] == [1, 2, 3]
    assert found[-1].token == second
    assert [each async for each in events.read_stream("b")] == []


@pytest.mark.parametrize("expected", [0, 2, STREAM_EXISTS])
async def test_wrong_version(events: EventStore, expected: int) -> None:
    """An append that expects something else is refused with the actual version, and records nothing."""
    stream = "missing" if expected else "there"
    if not expected:
        await events.append(stream, [Noted("x")])
    with pytest.raises(WrongExpectedVersion) as caught:
        await events.append(stream, [Noted("y")], expected=expected)
    assert caught.value.facts["actual"] == (0 if expected else 1)
    assert await texts(events, stream) == ([] if expected else ["x"])


async def test_expected_holds(events: EventStore) -> None:
    """No stream, any version, an existing stream and a number are accepted where they hold."""
    for expected in (NO_STREAM, ANY_VERSION, STREAM_EXISTS, 3):
        await events.append("a", [Noted(str(expected))], expected=expected)
    assert len(await texts(events, "a")) == 4


async def test_repeated(events: EventStore) -> None:
    """The same event ids again give the same token and record nothing, whatever is expected."""
    new = [NewEvent(Noted("x")), NewEvent(Noted("y"))]
    first = await events.append("a", new, expected=NO_STREAM)
    await events.append("a", [Noted("z")])
    assert await events.append("a", new, expected=NO_STREAM) == first
    assert await texts(events, "a") == ["x", "y", "z"]


async def test_ids_taken(events: EventStore) -> None:
    """Ids that are recorded elsewhere, or beside other events, are refused."""
    known = NewEvent(Noted("x"))
    await events.append("a", [known])
    for stream, new in (("b", [known]), ("a", [known, NewEvent(Noted("y"))])):
        with pytest.raises(DuplicateEvent):
            await events.append(stream, new)
    assert await events.find(known.id) == ("a", 1)
    assert await events.find(uuid4()) is None


async def test_envelope(events: EventStore) -> None:
    """An event comes back with its data, id, metadata, time and tags."""
    when = datetime(2020, 2, 29, 12, tzinfo=UTC)
    new = NewEvent(Noted("x", "é\u2028"), occurred_at=when, metadata={"who": {"n": 1}}, tags={"extra"})
    await events.append("a", [new])
    [found] = [each async for each in events.read_stream("a")]
    assert (found.data, found.id, found.metadata, found.occurred_at) == (new.event, new.id, new.metadata, when)
    assert (found.type, found.schema_version, found.tags) == ("contract-noted", 1, {"topic:x", "extra"})
    assert found.recorded_at.utcoffset() == timedelta(0)


async def test_ranges(events: EventStore) -> None:
    """A stream is read by version, both ends included."""
    await events.append("a", [Noted(each) for each in "uvwxyz"])
    assert await texts(events, "a", from_version=2, to_version=4) == ["v", "w", "x"]
    assert await texts(events, "a", from_version=9) == []


async def test_as_of(events: EventStore) -> None:
    """A stream is read as it was at the time when its events had been recorded."""
    await events.append("a", [Noted("x")])
    [first] = [each async for each in events.read_stream("a")]
    assert await texts(events, "a", as_of=first.recorded_at) == ["x"]
    assert await texts(events, "a", as_of=first.recorded_at - timedelta(microseconds=1)) == []
    with pytest.raises(UsageError, match="no time zone"):
        await texts(events, "a", as_of=datetime(2020, 1, 1))  # noqa: DTZ001 - that is the mistake


async def test_all(events: EventStore) -> None:
    """All events are read in one order, from after a position on, and counted."""
    for stream in "abcab":
        await events.append(stream, [Noted(stream)])

    async def readable() -> bool:
        return await events.count() == 5

    await eventually(readable, "five readable events")
    found = [each async for each in events.read_all()]
    assert [each.stream for each in found] == list("abcab")
    assert [each.position for each in found] == sorted({each.position for each in found})
    rest = [each async for each in events.read_all(found[1].position, 2)]
    assert [each.id for each in rest] == [each.id for each in found[2:4]]
    assert await events.head() == found[-1].position


async def test_several_streams(events: EventStore) -> None:
    """Several streams are appended to at once, or not at all."""
    tokens = await events.append_all([Append("a", [Noted("x")], NO_STREAM), Append("b", [Noted("y"), Noted("z")])])
    assert [(each.stream, each.version) for each in tokens] == [("a", 1), ("b", 2)]
    with pytest.raises(WrongExpectedVersion):
        await events.append_all([Append("b", [Noted("no")]), Append("a", [Noted("no")], NO_STREAM)])
    assert await texts(events, "b") == ["y", "z"]


async def test_condition(events: EventStore) -> None:
    """An append on a condition is refused once an event matches that the marker has not seen."""
    query = Query(QueryItem(types=(Noted,), tags=("topic:x",)))
    await events.append("a", [Noted("x"), Noted("y")])
    found = await events.read(query)
    assert [each.data.topic for each in found.events] == ["x"]
    await events.append("b", [Noted("y")], condition=FailIf(query, found.marker))
    await events.append("c", [Noted("x")], condition=FailIf(query, found.marker))
    with pytest.raises(ConditionFailed):
        await events.append("d", [Noted("x")], condition=FailIf(query, found.marker))
    assert await texts(events, "d") == []


@pytest.mark.parametrize(
    ("stream", "new", "error"),
    [
        ("", [Noted("x")], UsageError),
        ("a" * 513, [Noted("x")], UsageError),
        ("a", [], UsageError),
        ("a", [Noted("\0")], UsageError),
        ("a", [object()], UsageError),
        ("a", [Noted("x", "y" * 1_000_000)], LimitExceeded),
        ("a", [Noted("x")] * 1_001, LimitExceeded),
        ("a", [NewEvent(Noted("x"), occurred_at=datetime(2020, 1, 1))], UsageError),  # noqa: DTZ001 - that is the mistake
    ],
    ids=["no-name", "long-name", "no-event", "nul", "no-class", "large", "many", "naive"],
)
async def test_refused(events: EventStore, stream: str, new: list[object], error: type[Exception]) -> None:
    """What can't be recorded is refused by the same error everywhere, and nothing of it is recorded."""
    with pytest.raises(error):
        await events.append(stream, new)
    assert await events.count() == 0


async def test_unknown_type(events: EventStore) -> None:
    """A type that no class answers for is recorded as it is, and named when it is to be read."""
    await events.append("a", [RawEvent("contract-unknown", {"n": 1})])
    with pytest.raises(UnknownEvent, match="contract-unknown"):
        await texts(events, "a")
