"""What an append promises."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from eventstore import (
    NO_STREAM,
    STREAM_EXISTS,
    DuplicateEvent,
    NewEvent,
    PostgresSettings,
    RawEvent,
    WrongExpectedVersion,
    event,
)
from eventstore.errors import LimitExceeded, UsageError
from eventstore.postgres import PostgresEventStore, checkout
from tests.stack.waiting import eventually

Stored = Callable[[], Awaitable[int]]


@event("append-test-paid", version=1)
class Paid:
    cents: int


async def amounts(store: PostgresEventStore, stream: str) -> list[int]:
    return [each.data.cents async for each in store.read_stream(stream)]


async def test_versions_count_from_one(store: PostgresEventStore) -> None:
    """The first event of a stream has version 1 and the token names the last one appended."""
    first = await store.append("a", [Paid(1)])
    token = await store.append("a", [Paid(2), Paid(3)])
    assert (first.version, token.version) == (1, 3)
    found = [each async for each in store.read_stream("a")]
    assert [each.version for each in found] == [1, 2, 3]
    assert found[-1].token == token
    assert found[0].position < found[1].position < found[2].position


async def test_envelope_keeps_everything(store: PostgresEventStore) -> None:
    """An envelope read back holds the id, time, metadata and data that were handed in."""
    when = datetime(2020, 2, 29, 12, 30, 1, 250_000, tzinfo=UTC)
    new = NewEvent(Paid(7), occurred_at=when, metadata={"correlationid": "c-1", "who": {"name": "Zoë"}})
    await store.append("a", [new])
    [found] = [each async for each in store.read_stream("a")]
    assert (found.id, found.occurred_at, found.metadata, found.data) == (new.id, when, new.metadata, Paid(7))
    assert (found.type, found.schema_version, found.stream) == ("append-test-paid", 1, "a")
    assert found.recorded_at.tzinfo == UTC


@pytest.mark.parametrize(
    ("events_before", "expected", "accepted"),
    [
        (0, NO_STREAM, True),
        (2, NO_STREAM, False),
        (0, STREAM_EXISTS, False),
        (2, STREAM_EXISTS, True),
        (2, 2, True),
        (2, 1, False),
        (2, 3, False),
        (0, 4, False),
    ],
)
async def test_expectations(store: PostgresEventStore, stored: Stored, events_before: int, expected: int, accepted: bool) -> None:
    """An append is accepted exactly when the stream is as expected, and a refused one leaves nothing behind."""
    for number in range(events_before):
        await store.append("a", [Paid(number)])
    if accepted:
        assert (await store.append("a", [Paid(99)], expected=expected)).version == events_before + 1
        return
    with pytest.raises(WrongExpectedVersion, match=f"is at version {events_before}") as refused:
        await store.append("a", [Paid(99)], expected=expected)
    assert refused.value.facts == {"stream": "a", "expected": expected, "actual": events_before}
    assert await amounts(store, "a") == list(range(events_before))
    assert await stored() == events_before


async def test_repeated_append_writes_nothing(store: PostgresEventStore) -> None:
    """The same events again give the same token, whatever was appended since and whatever version is expected."""
    events = [NewEvent(Paid(1)), NewEvent(Paid(2))]
    token = await store.append("a", events, expected=NO_STREAM)
    await store.append("a", [Paid(3)])
    assert await store.append("a", events, expected=NO_STREAM) == token
    assert await store.append("a", events[1:]) == token
    assert await amounts(store, "a") == [1, 2, 3]


async def test_ids_used_otherwise(store: PostgresEventStore, stored: Stored) -> None:
    """Ids recorded in another stream, in another order or beside new events are refused by name."""
    one, two = NewEvent(Paid(1)), NewEvent(Paid(2))
    await store.append("a", [one, two])
    for stream, events in (("b", [one]), ("a", [two, one]), ("a", [one, NewEvent(Paid(3))]), ("b", [NewEvent(Paid(4)), two])):
        with pytest.raises(DuplicateEvent, match="recorded already"):
            await store.append(stream, events)
    with pytest.raises(DuplicateEvent):
        await store.append("c", [(again := NewEvent(Paid(5))), again])
    assert await amounts(store, "a") == [1, 2]
    assert await stored() == 2


async def test_thirty_two_writers_one_winner_each(store: PostgresEventStore, stored: Stored) -> None:
    """Of 32 writers that expect the same version exactly one wins, version after version (F05)."""
    version = 0
    for _ in range(4):
        results = await asyncio.gather(
            *(store.append("hot", [Paid(each)], expected=version) for each in range(32)), return_exceptions=True
        )
        won = [each for each in results if not isinstance(each, BaseException)]
        assert len(won) == 1
        assert all(isinstance(each, WrongExpectedVersion) for each in results if isinstance(each, BaseException))
        version = won[0].version
    assert version == 4
    assert await stored() == 4


async def test_writers_that_expect_nothing_all_win(store: PostgresEventStore) -> None:
    """Writers of one new stream that accept any version all record, without holes, however they race to create it."""
    tokens = await asyncio.gather(*(store.append("new", [Paid(each), Paid(each)]) for each in range(32)))
    assert sorted(each.version for each in tokens) == list(range(2, 65, 2))
    found = await amounts(store, "new")
    assert found[::2] == found[1::2]
    assert sorted(found[::2]) == list(range(32))


async def test_same_ids_at_once(store: PostgresEventStore) -> None:
    """The same append sent by eight connections at once is recorded once and answered alike."""
    events = [NewEvent(Paid(1)), NewEvent(Paid(2))]
    tokens = await asyncio.gather(*(store.append("a", events) for _ in range(8)))
    assert len(set(tokens)) == 1
    assert await amounts(store, "a") == [1, 2]


async def test_creator_that_rolls_back(store: PostgresEventStore) -> None:
    """A writer that waits for the creator of a stream creates it itself when that one rolls back."""
    async with checkout(store.engine) as other:
        async with other.transaction(force_rollback=True):
            await store.append("a", [Paid(1)], connection=other)
            waiting = asyncio.create_task(store.append("a", [Paid(2)], expected=NO_STREAM))
            await lock_waiter(store.engine)
        assert (await waiting).version == 1
    assert await amounts(store, "a") == [2]


async def test_own_transaction(store: PostgresEventStore) -> None:
    """Events appended within the caller's transaction come and go with it, through SQLAlchemy or psycopg."""
    async with store.engine.connect() as connection:
        await store.append("a", [Paid(1)], connection=connection)
        await connection.rollback()
        await store.append("a", [Paid(2)], connection=connection)
        await connection.execute(text("CREATE TABLE mine (x int)"))
        await connection.commit()
    async with AsyncSession(store.engine) as session, session.begin():
        await store.append("a", [Paid(3)], connection=session)
    async with checkout(store.engine) as raw, raw.transaction():
        await store.append("a", [Paid(4)], connection=raw)
    assert await amounts(store, "a") == [2, 3, 4]


async def test_savepoints_leave_no_ghost(store: PostgresEventStore) -> None:
    """An append rolled back to a savepoint leaves neither event nor version (F06)."""
    async with checkout(store.engine) as raw, raw.transaction():
        await store.append("a", [Paid(1)], connection=raw)
        async with raw.transaction(force_rollback=True):
            await store.append("a", [Paid(2)], connection=raw)
        token = await store.append("a", [Paid(3)], expected=1, connection=raw)
    assert token.version == 2
    assert await amounts(store, "a") == [1, 3]


async def test_refusal_within_own_transaction(store: PostgresEventStore) -> None:
    """A wrong expected version within the caller's transaction is the same error."""
    await store.append("a", [Paid(1)])
    async with store.engine.connect() as connection:
        with pytest.raises(WrongExpectedVersion):
            await store.append("a", [Paid(2)], expected=NO_STREAM, connection=connection)


async def test_older_transaction_is_refused(store: PostgresEventStore) -> None:
    """A transaction that is older than the stream's last writer may not append to it (F04): SQLSTATE 40001, try again."""
    async with checkout(store.engine) as old, old.transaction():
        await old.execute("SELECT pg_current_xact_id()")
        await store.append("a", [Paid(1)])
        with pytest.raises(psycopg.errors.SerializationFailure):
            await store.append("a", [Paid(2)], connection=old)
    assert await amounts(store, "a") == [1]


async def test_limits(engine: AsyncEngine, settings: PostgresSettings, stored: Stored) -> None:
    """An event or an append above its limit is refused before anything is sent, with the limit's name."""
    narrow = settings.model_copy(update={"max_event_bytes": 100, "max_append_events": 3})
    async with PostgresEventStore.open(narrow, engine=engine) as store:
        with pytest.raises(LimitExceeded, match="max_event_bytes=100"):
            await store.append("a", [RawEvent("x", {"text": "y" * 100})])
        with pytest.raises(LimitExceeded, match="max_append_events=3"):
            await store.append("a", [Paid(1)] * 4)
        assert await stored() == 0


async def test_bad_calls(store: PostgresEventStore) -> None:
    """A call that can't be right is refused in one sentence before anything is sent."""
    naive = NewEvent(Paid(1), occurred_at=datetime(2020, 1, 1))  # noqa: DTZ001
    for stream, events, expected, said in (
        ("", [Paid(1)], -1, "stream name"),
        ("x" * 513, [Paid(1)], -1, "stream name"),
        ("a\0", [Paid(1)], -1, "NUL"),
        ("a", [RawEvent("x", {"text": "\0"})], -1, "NUL"),
        ("a", [naive], -1, "no time zone"),
        ("a", [object()], -1, "is not an event"),
        ("a", [], -1, "at least one"),
        ("a", [Paid(1)], -3, "expected=-3"),
    ):
        with pytest.raises(UsageError, match=said):
            await store.append(stream, events, expected=expected)


async def test_awkward_texts(store: PostgresEventStore) -> None:
    """Names and texts with quotes, backslashes, control characters and every script come back as they were."""
    awkward = "a'b\"c\\d{e},%s\t\n\u2028😀\\u0000"
    await store.append(awkward, [RawEvent("raw-type", {"text": awkward, awkward: [1.5, None, True]})])
    [found] = [each async for each in store.read_stream(awkward, decoded=False)]
    assert (found.stream, found.data) == (awkward, {"text": awkward, awkward: [1.5, None, True]})


async def test_one_id_one_event(store: PostgresEventStore) -> None:
    """An id chosen by the caller is the event's id, and two streams can't share it."""
    chosen = uuid4()
    await store.append("a", [NewEvent(Paid(1), id=chosen)])
    assert [each.id async for each in store.read_stream("a")] == [chosen]


async def lock_waiter(engine: AsyncEngine) -> None:
    """Return once some connection of this database waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with checkout(engine) as connection:

        async def waits() -> bool:
            return await (await connection.execute(query)).fetchone() != (0,)

        await eventually(waits, "a connection that waits for a lock")
