"""What an append promises, whichever way it travels: alone, in a group, within the caller's transaction; several streams in one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import (
    NO_STREAM,
    STREAM_EXISTS,
    Append,
    ConditionFailed,
    DuplicateEvent,
    FailIf,
    NewEvent,
    PostgresSettings,
    Query,
    QueryItem,
    RawEvent,
    Token,
    WrongExpectedVersion,
)
from eventstore.errors import LimitExceeded, UsageError
from eventstore.postgres import PostgresEventStore, checkout
from tests.stack.waiting import eventually

Stored = Callable[[], Awaitable[int]]
Way = Callable[..., Awaitable[list[Token]]]


def made(number: int = 0, **more: Any) -> NewEvent:
    return NewEvent(RawEvent("made", {"n": number}), **more)


async def versions(store: PostgresEventStore, stream: str) -> list[int]:
    return [each.version async for each in store.read_stream(stream, decoded=False)]


@pytest.fixture(params=["alone", "grouped", "within"])
def way(request: pytest.FixtureRequest, engine: AsyncEngine, settings: PostgresSettings) -> Way:
    """One of the ways that an append can travel."""
    alone = PostgresEventStore(engine, settings.model_copy(update={"group_requests": 1}))
    grouped = PostgresEventStore(engine, settings.model_copy(update={"group_lanes": 1}))

    async def beside_others(*appends: Append, **more: Any) -> list[Token]:
        """Let an append find company: the first goes, and the others queue behind it and share the next group."""
        others = [asyncio.create_task(grouped.append(f"other-{number % 3}", [made()])) for number in range(8)]
        done = asyncio.create_task(grouped.append_all(appends, **more))
        await asyncio.gather(*others)
        return await done

    async def within(*appends: Append, **more: Any) -> list[Token]:
        async with checkout(engine) as connection, connection.transaction():
            return await alone.append_all(appends, connection=connection, **more)

    async def by_itself(*appends: Append, **more: Any) -> list[Token]:
        return await alone.append_all(appends, **more)

    return {"alone": by_itself, "grouped": beside_others, "within": within}[request.param]


async def test_several_streams(store: PostgresEventStore, way: Way) -> None:
    """Several streams are written together, each token names its stream's last event, and all have one transaction."""
    await way(Append("b", [made()]))
    tokens = await way(Append("a", [made(1), made(2)], NO_STREAM), Append("b", [made(3)], 1), Append("c", [made(4)]))
    assert [(each.stream, each.version) for each in tokens] == [("a", 2), ("b", 2), ("c", 1)]
    assert len({each.position.xid for each in tokens}) == 1
    assert tokens == [await last(store, each) for each in "abc"]
    assert tokens[0].position < tokens[1].position < tokens[2].position


async def last(store: PostgresEventStore, stream: str) -> Token:
    return [each.token async for each in store.read_stream(stream, decoded=False)][-1]


async def test_one_refused_all_refused(store: PostgresEventStore, way: Way) -> None:
    """One stream that is not as expected refuses the whole append, by its name, and nothing is written."""
    await way(Append("a", [made()]))
    with pytest.raises(WrongExpectedVersion, match="'b' is at version 0, expected was an existing stream") as refused:
        await way(Append("a", [made()], 1), Append("b", [made()], STREAM_EXISTS), Append("c", [made()]))
    assert refused.value.facts == {"stream": "b", "expected": STREAM_EXISTS, "actual": 0}
    assert [await versions(store, each) for each in "abc"] == [[1], [], []]


async def test_repeated(store: PostgresEventStore, way: Way) -> None:
    """The same append again gives the same tokens, whatever version or condition it carries, and writes nothing."""
    appends = (Append("a", [made(1), made(2)], NO_STREAM), Append("b", [made(3, tags=["t:1"])], NO_STREAM))
    condition = FailIf(Query(QueryItem(tags=("t:1",))))
    tokens = await way(*appends, condition=condition)
    await way(Append("a", [made()]))
    assert await way(*appends, condition=condition) == tokens
    assert [await versions(store, each) for each in "ab"] == [[1, 2, 3], [1]]


async def test_ids_used_otherwise(store: PostgresEventStore, way: Way) -> None:
    """Ids that are recorded, but not as this append, are refused: in another stream, in part, beside new ones, or split up."""
    one, two = made(1), made(2)
    await way(Append("a", [one]), Append("b", [two]))
    for appends in (
        (Append("b", [one]),),
        (Append("a", [one, two]),),
        (Append("a", [one]), Append("b", [made()])),
        (Append("a", [made()]), Append("b", [two])),
    ):
        with pytest.raises(DuplicateEvent, match="recorded already"):
            await way(*appends)
    with pytest.raises(DuplicateEvent, match="same id"):
        await way(Append("a", [again := made()]), Append("b", [again]))
    assert [await versions(store, each) for each in "ab"] == [[1], [1]]


async def test_refusal_leaves_the_transaction(store: PostgresEventStore) -> None:
    """A refusal within the caller's transaction writes nothing and leaves it usable."""
    async with checkout(store.engine) as connection, connection.transaction():
        with pytest.raises(WrongExpectedVersion):
            await store.append("a", [made()], expected=7, connection=connection)
        await store.append("a", [made()], connection=connection)
    assert await versions(store, "a") == [1]


@asynccontextmanager
async def held(engine: AsyncEngine, stream: str) -> AsyncIterator[None]:
    """Hold *stream*, so that a group which touches it waits while more appends queue; let go at the end."""
    async with checkout(engine) as holder, holder.transaction():
        await holder.execute("SELECT pg_advisory_xact_lock(1919247972, hashtext(%s))", (stream,))
        yield


async def waiting_server(engine: AsyncEngine) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with checkout(engine) as connection:

        async def waits() -> bool:
            return await (await connection.execute(query)).fetchone() != (0,)

        await eventually(waits, "a connection that waits for a lock")


@asynccontextmanager
async def one_lane(engine: AsyncEngine, settings: PostgresSettings, **more: int) -> AsyncIterator[PostgresEventStore]:
    """A store whose appends wait behind one that waits for the server, so that the test says what the next group is."""
    store = PostgresEventStore(engine, settings.model_copy(update={"group_lanes": 1, **more}))
    async with held(engine, "gate"):
        first = asyncio.create_task(store.append("gate", [made()]))
        await waiting_server(engine)
        yield store
    await first


async def test_everybody_gets_their_own(engine: AsyncEngine, settings: PostgresSettings, stored: Stored) -> None:
    """In one group of accepted, refused, repeated and conditional appends every task gets exactly its own outcome."""
    before = PostgresEventStore(engine, settings)
    known = made(tags=["known:1"])
    token = await before.append("known", [known])
    condition = FailIf(Query(QueryItem(types=("made",), tags=("known:1",))))
    async with one_lane(engine, settings) as store:
        calls = {
            "fine": store.append("a", [made(), made()], expected=NO_STREAM),
            "wrong": store.append("b", [made()], expected=5),
            "known": store.append("known", [known]),
            "duplicate": store.append("c", [known]),
            "excluded": store.append("d", [made()], condition=condition),
            "several": store.append_all([Append("e", [made()]), Append("f", [made()], 1)]),
            "last": store.append("g", [made()]),
        }
        tasks = {name: asyncio.create_task(call) for name, call in calls.items()}
        await asyncio.sleep(0)
    results = dict(zip(tasks, await asyncio.gather(*tasks.values(), return_exceptions=True), strict=True))
    assert (results["fine"].version, results["known"], results["last"].version) == (2, token, 1)
    kinds = {name: type(each) for name, each in results.items() if isinstance(each, BaseException)}
    assert kinds == {
        "wrong": WrongExpectedVersion,
        "duplicate": DuplicateEvent,
        "excluded": ConditionFailed,
        "several": WrongExpectedVersion,
    }
    assert results["several"].facts["stream"] == "f"
    assert results["excluded"].facts == {"stream": "known", "version": 1, "type": "made"}
    assert results["fine"].position.xid == results["last"].position.xid
    assert await stored() == 5


async def test_one_transaction(engine: AsyncEngine, settings: PostgresSettings) -> None:
    """Appends that wait together are one transaction, those of one stream included, and take their versions in turn."""
    async with one_lane(engine, settings) as store:
        tasks = [asyncio.create_task(store.append(f"s-{number % 4}", [made(), made()])) for number in range(20)]
        await asyncio.sleep(0)
    tokens = [await each for each in tasks]
    assert len({each.position.xid for each in tokens}) == 1
    assert [each.version for each in tokens if each.stream == "s-1"] == [2, 4, 6, 8, 10]
    assert tokens == sorted(tokens, key=lambda each: each.position)


async def test_limits_of_a_group(engine: AsyncEngine, settings: PostgresSettings) -> None:
    """A group holds as many appends as the setting says, and 1 means that none shares."""
    for limit, transactions in ((1, 6), (4, 2)):
        async with one_lane(engine, settings, group_requests=limit) as store:
            tasks = [asyncio.create_task(store.append(f"{limit}-{number}", [made()])) for number in range(6)]
            await asyncio.sleep(0)
        assert len({(await each).position.xid for each in tasks}) == transactions


async def test_one_cancelled(engine: AsyncEngine, settings: PostgresSettings) -> None:
    """A task that is cancelled while it waits takes its append along and disturbs nobody."""
    async with one_lane(engine, settings) as store:
        tasks = [asyncio.create_task(store.append(stream, [made()])) for stream in "abc"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
    assert [(await tasks[each]).version for each in (0, 2)] == [1, 1]
    assert await versions(store, "b") == []


async def test_cancelled_under_way(engine: AsyncEngine, settings: PostgresSettings) -> None:
    """A task that is cancelled while its group is under way disturbs nobody; its append is recorded with the group."""
    store = PostgresEventStore(engine, settings.model_copy(update={"group_lanes": 1}))
    async with held(engine, "gate"):
        tasks = [asyncio.create_task(store.append(stream, [made()])) for stream in ("a", "gate", "b")]
        await waiting_server(engine)
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)
    assert [(await each).version for each in tasks[1:]] == [1, 1]
    assert await versions(store, "a") == [1]


async def test_the_guilty_one_fails(engine: AsyncEngine, settings: PostgresSettings) -> None:
    """When the server refuses a group as a whole, only the append that it can't store fails."""
    async with checkout(engine) as connection:
        await connection.execute("ALTER TABLE eventstore.event ADD CONSTRAINT small CHECK ((data ->> 'n')::int < 100)")
    async with one_lane(engine, settings) as store:
        tasks = [asyncio.create_task(store.append(f"s-{number}", [made(number * 60)])) for number in range(3)]
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [Token, Token, psycopg.errors.CheckViolation]
    assert [await versions(store, f"s-{each}") for each in range(3)] == [[1], [1], []]


async def test_a_held_stream_holds_nobody_else(engine: AsyncEngine, settings: PostgresSettings) -> None:
    """While a transaction holds a stream and another a tag, appends to others go on, and those to them wait in order."""
    store = PostgresEventStore(engine, settings.model_copy(update={"group_lanes": 1}))
    async with checkout(engine) as other, other.transaction():
        condition = FailIf(Query(QueryItem(tags=("t:1",))))
        await store.append("held", [made()], condition=condition, connection=other)
        blocked = [asyncio.create_task(store.append("held", [made(number)])) for number in range(3)]
        tagged = asyncio.create_task(store.append("tagged", [made(tags=["t:1"])]))
        for number in range(3):
            tokens = await asyncio.gather(*(store.append(f"free-{each}", [made()]) for each in range(5)))
            assert {each.version for each in tokens} == {number + 1}
        gone = asyncio.create_task(store.append("held", [made(99)]))
        await asyncio.sleep(0)
        gone.cancel()
        assert not any(each.done() for each in (*blocked, tagged))
    assert [(await each).version for each in (*blocked, tagged)] == [2, 3, 4, 1]
    assert [each.data["n"] async for each in store.read_stream("held", decoded=False)] == [0, 0, 1, 2]


async def test_same_ids_from_many(engine: AsyncEngine, settings: PostgresSettings) -> None:
    """The same append handed in by many tasks of several stores at once is recorded once and answered alike."""
    stores = [PostgresEventStore(engine, settings) for _ in range(3)]
    appends = [Append("a", [made(), made()]), Append("b", [made()], NO_STREAM)]
    results = await asyncio.gather(*(stores[each % 3].append_all(appends) for each in range(24)))
    assert all(each == results[0] for each in results)
    assert [await versions(stores[0], each) for each in "ab"] == [[1, 2], [1]]


async def test_one_winner_each(engine: AsyncEngine, settings: PostgresSettings, stored: Stored) -> None:
    """Of 32 tasks of two stores that expect the same version of two streams exactly one wins, version after version (F05)."""
    stores = [PostgresEventStore(engine, settings) for _ in range(2)]
    for version in range(4):
        calls = (
            stores[each % 2].append_all([Append("x", [made()], version), Append("y", [made()], version)]) for each in range(32)
        )
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sorted(type(each).__name__ for each in results) == ["WrongExpectedVersion"] * 31 + ["list"]
    assert await stored() == 8


async def test_crossing_streams(engine: AsyncEngine, settings: PostgresSettings) -> None:
    """Appends that touch the same streams in opposite orders, from several stores, all get through without holes."""
    stores = [PostgresEventStore(engine, settings) for _ in range(4)]
    names = ["k", "l", "m"]

    async def write(number: int) -> None:
        turned = names[number % 3 :] + names[: number % 3]
        await stores[number % 4].append_all([Append(each, [made()]) for each in turned])

    await asyncio.gather(*map(write, range(60)))
    assert [await versions(stores[0], each) for each in names] == [list(range(1, 61))] * 3


async def test_limits_by_name(engine: AsyncEngine, settings: PostgresSettings, stored: Stored) -> None:
    """Every limit is refused before anything is sent, with its name and setting (F29)."""
    limits = {"max_append_events": 4, "max_append_streams": 3, "max_append_bytes": 300, "max_event_tags": 2, "max_query_items": 2}
    store = PostgresEventStore(engine, settings.model_copy(update=limits))
    items = [QueryItem(tags=(f"t:{each}",)) for each in range(3)]
    wide = [NewEvent(RawEvent("made", {"text": "x" * 200})) for _ in range(2)]
    for name, call in {
        "max_append_events": store.append_all([Append("a", [made()] * 2), Append("b", [made(), made(), made()])]),
        "max_append_streams": store.append_all([Append(each, [made()]) for each in "abcd"]),
        "max_append_bytes": store.append("a", wide),
        "max_event_tags": store.append("a", [made(tags=["a", "b", "c"])]),
        "max_query_items": store.append("a", [made()], condition=FailIf(Query(*items))),
    }.items():
        with pytest.raises(LimitExceeded, match=rf"{name}={limits[name]}.*REFOLD_POSTGRES_{name.upper()}"):
            await call
    with pytest.raises(LimitExceeded, match="max_query_items=2"):
        await store.read(Query(*items))
    assert await stored() == 0


async def test_bad_calls(store: PostgresEventStore) -> None:
    """An append of no stream, of a stream twice, or to an impossible version is refused in one sentence."""
    for appends, said in (
        ([], "at least one stream"),
        ([Append("a", [made()]), Append("a", [made()])], "twice"),
        ([Append("a", [])], "at least one event"),
        ([Append("a", [made()], -3)], "expected=-3"),
    ):
        with pytest.raises(UsageError, match=said):
            await store.append_all(appends)


async def test_function_knows_its_contract(engine: AsyncEngine) -> None:
    """Whoever calls an append function with one stream twice and an expected version, or with parts that do not add up, is refused."""
    ids = "ARRAY[gen_random_uuid(), gen_random_uuid()]"
    events = f"{ids}, ARRAY['x', 'x'], ARRAY[1, 1], ARRAY['{{}}', '{{}}']::jsonb[]"
    async with checkout(engine) as connection:
        for parts, tail in (
            ('[{"r":1,"s":"a","x":0,"n":1},{"r":2,"s":"a","x":-1,"n":1}]', ""),
            ('[{"r":1,"s":"a","x":0,"n":1}]', ""),
            ('[{"r":1,"s":"a","x":0,"n":2}]', ", p_tags => ARRAY['{a}']"),
        ):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                await connection.execute(f"SELECT * FROM eventstore.append_v2('{parts}', {events}{tail})")
        for parts, tail in (
            ("ARRAY[1, 2], ARRAY['a', 'a'], ARRAY[0, -1], ARRAY[1, 1]", ""),
            ("ARRAY[1, 2], ARRAY['a', 'b'], ARRAY[-1, -1], ARRAY[2, 0]", ""),
            ("ARRAY[1, 2], ARRAY['a', 'b'], ARRAY[-1], ARRAY[1, 1]", ""),
            ("ARRAY[1], ARRAY['a'], ARRAY[0], ARRAY[1]", ""),
            ("ARRAY[]::integer[], ARRAY[]::text[], ARRAY[]::bigint[], ARRAY[]::integer[]", ""),
            ("ARRAY[1], ARRAY['a'], ARRAY[0], ARRAY[2]", ", p_tags => ARRAY['{a}']"),
        ):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                await connection.execute(f"SELECT * FROM eventstore.append_v3({parts}, {events}{tail})")


async def test_older_transaction_and_tags(engine: AsyncEngine, settings: PostgresSettings) -> None:
    """An older transaction of the caller's that comes too late for a tag is told to try again (40001), as with streams (F04)."""
    store = PostgresEventStore(engine, settings)
    async with checkout(engine) as old, old.transaction():
        await old.execute("SELECT pg_current_xact_id()")
        await store.append("young", [made(tags=["t:1"])])
        await store.append("old", [made(tags=["t:2"])], connection=old)
        with pytest.raises(psycopg.errors.SerializationFailure):
            await store.append("older", [made(tags=["t:1"])], connection=old)
    assert await versions(store, "older") == []


async def test_older_transaction_and_condition(engine: AsyncEngine, settings: PostgresSettings) -> None:
    """A decision may not come before the events that it was made on: an older transaction is told to try again (40001)."""
    store = PostgresEventStore(engine, settings)
    for query in (Query(QueryItem(tags=("t:1",))), Query(QueryItem(types=("made",))), Query()):
        async with checkout(engine) as old, old.transaction():
            await old.execute("SELECT pg_current_xact_id()")
            await store.append("young", [made(tags=["t:1"])])
            condition = FailIf(query, after=(await store.read(query, decoded=False)).marker)
            with pytest.raises(psycopg.errors.SerializationFailure):
                await store.append("older", [made()], condition=condition, connection=old)
    assert await versions(store, "older") == []
