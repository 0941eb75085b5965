"""What is sent to the database for an event."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from eventstore import NewEvent, PostgresSettings, RawEvent, event, registry
from eventstore.codec import decode
from eventstore.errors import LimitExceeded, UsageError
from eventstore.postgres.rows import Writer


@event("rows-test-thing", version=3)
class Thing:
    name: str


def writer(**limits: int) -> Writer:
    """Make a writer with *limits*."""
    return Writer(registry, PostgresSettings(**limits))  # pyright: ignore[reportArgumentType]


def test_one_document_for_all() -> None:
    """Ids are an array, everything else one JSON document; what an event does not have is left out."""
    when = datetime(2020, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    events = [NewEvent(Thing("é")), NewEvent(RawEvent('a"b', {"x": 1}, 7), occurred_at=when, metadata={"k": "v"})]
    ids, document = writer().parameters(events)
    assert ids == f"{{{events[0].id},{events[1].id}}}"
    assert decode(document) == [
        {"t": "rows-test-thing", "v": 3, "d": {"name": "é"}},
        {"t": 'a"b', "v": 7, "d": {"x": 1}, "m": {"k": "v"}, "o": "2020-01-01T12:00:00+02:00"},
    ]


def test_limit_counts_data_and_metadata() -> None:
    """The limit is on the bytes of data and metadata together, and its message names id, size, limit and setting."""
    new = NewEvent(RawEvent("x", {"t": "é" * 10}), metadata={"k": "v"})
    _, _, data, metadata = writer().parts(new)
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
    assert decode(writer().parts(NewEvent(RawEvent("x", data)))[2]) == data


def test_times_carry_their_zone() -> None:
    """A time without a zone is refused by name."""
    with pytest.raises(UsageError, match=r"datetime.now\(UTC\)"):
        writer().parameters([NewEvent(Thing("x"), occurred_at=datetime(2020, 1, 1))])  # noqa: DTZ001
    writer().parameters([NewEvent(Thing("x"), occurred_at=datetime(2020, 1, 1, tzinfo=UTC))])
