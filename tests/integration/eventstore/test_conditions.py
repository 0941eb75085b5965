"""Queries over types and tags, and appends that they guard, beside an independent reading of the rules."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import (
    START,
    Append,
    ConditionFailed,
    Envelope,
    FailIf,
    Marker,
    NewEvent,
    PostgresSettings,
    Query,
    QueryItem,
    RawEvent,
    event,
    registry,
)
from eventstore.errors import UsageError
from eventstore.log.wire import compose, parse
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.pages import Wanted, read_page

Stored = Callable[[], Awaitable[int]]


@event("condition-test-enrolled", tags=lambda enrolled: {f"course:{enrolled.course}", f"student:{enrolled.student}"})
class Enrolled:
    course: str
    student: int


def made(kind: str, *tags: str, n: int = 0) -> NewEvent:
    return NewEvent(RawEvent(kind, {"n": n}), tags=tags)


def numbers(events: Iterable[Envelope[Any]]) -> list[int]:
    return [each.data["n"] for each in events]


def matches(query: Query, each: Envelope[Any]) -> bool:
    """Read the rules of dcb.events once more, in Python: one of the items, any of its types, all of its tags."""
    return any((not item.types or each.type in item.types) and all(tag in each.tags for tag in item.tags) for item in query.items)


def random_query(chance: random.Random) -> Query:
    def some(words: str, most: int) -> tuple[str, ...]:
        return tuple(chance.sample(words, chance.randint(0, most)))

    return Query(*(QueryItem(types=some("xyz", 2), tags=some("abcd", 3)) for _ in range(chance.randint(0, 3))))


@pytest.mark.parametrize("seed", [1, 2])
async def test_reads_what_matches(store: PostgresEventStore, seed: int) -> None:
    """Any query gives exactly the events that match it, in order, from either end, as many as asked for; a marker hides the seen."""
    chance = random.Random(seed)
    for number in range(60):
        tags = chance.sample("abcd", chance.randint(0, 4))
        await store.append(f"s-{number % 5}", [made(chance.choice("xyz"), *tags, n=number)])
        if number == 29:
            half = await look(store)
    everything = (await store.read(Query(), decoded=False)).events
    assert numbers(everything) == list(range(60))
    for _ in range(60):
        query, limit = random_query(chance), chance.choice([None, 1, 5])
        wanted = [each for each in everything if matches(query, each)]
        assert (await store.read(query, decoded=False)).events == wanted
        assert (await store.read(query, limit=limit, decoded=False)).events == wanted[:limit]
        assert (await store.read(query, limit=limit, newest=True, decoded=False)).events == wanted[::-1][:limit]
        new = [each for each in wanted if each.data["n"] >= 30]
        assert (await store.read(query, after=half, decoded=False)).events == new
        first = {"stream": new[0].stream, "version": new[0].version, "type": new[0].type} if new else None
        assert await refusal(store, FailIf(query, after=half)) == first


async def look(store: PostgresEventStore) -> Marker:
    return (await store.read(Query(), decoded=False)).marker


async def refusal(store: PostgresEventStore, condition: FailIf) -> dict[str, Any] | None:
    """Say what an append under *condition* would fail on; nothing is recorded."""
    async with checkout(store.engine) as connection, connection.transaction(force_rollback=True):
        try:
            await store.append("tried", [made("tried")], condition=condition, connection=connection)
        except ConditionFailed as error:
            return error.facts
    return None


async def test_tags_are_kept(store: PostgresEventStore) -> None:
    """Tags of the class and of the event are read back wherever the event is; events without tags have none."""
    await store.append("a", [NewEvent(Enrolled("maths", 1), tags=["year:1"]), RawEvent("plain", {})])
    found = (await store.read(Query(QueryItem(types=[Enrolled], tags=("course:maths", "year:1"))))).events
    assert [(each.data, each.tags) for each in found] == [(Enrolled("maths", 1), {"course:maths", "student:1", "year:1"})]
    assert [each.tags async for each in store.read_stream("a", decoded=False)] == [found[0].tags, frozenset()]
    assert (await store.read(Query(QueryItem(tags=("course:chess",))))).events == []


async def test_awkward_tags(store: PostgresEventStore) -> None:
    """Any text is a tag: quotes, commas, braces, backslashes, controls and every script, appended or imported."""
    awkward = "a'b\"c\\d{e},%s\t\n\u2028😀 NULL"
    await store.append("a", [made("x", awkward, "NULL", "{}")])
    await store.import_events([("b", made("x", awkward, "NULL", "{}", n=1))])
    found = await store.read(Query(QueryItem(tags=(awkward, "NULL"))), decoded=False)
    assert [each.tags for each in found.events] == [{awkward, "NULL", "{}"}] * 2


async def test_marker_is_exact(store: PostgresEventStore) -> None:
    """An event whose transaction began before the look and committed after it was not seen: by no later look, nor by a condition."""
    query = Query(QueryItem(tags=("t:1",)))
    async with checkout(store.engine) as slow, slow.transaction():
        await store.append("slow", [made("x", "t:1", n=1)], connection=slow)
        await store.append("fast", [made("x", "t:2", n=2)])
        found = await store.read(query, decoded=False)
        assert found.events == []
    with pytest.raises(ConditionFailed) as refused:
        await store.append("a", [made("x")], condition=FailIf(query, after=found.marker))
    assert refused.value.facts == {"stream": "slow", "version": 1, "type": "x"}
    late = await store.read(query, after=Marker(str(found.marker)), decoded=False)
    assert numbers(late.events) == [1]
    await store.append("a", [made("x")], condition=FailIf(query, after=late.marker))


async def test_condition_waits_for_who_writes(store: PostgresEventStore) -> None:
    """A condition is asked after a running append that could break it has ended, not before."""
    for query in (Query(QueryItem(tags=("t:1", "t:2"))), Query(QueryItem(types=("x",))), Query()):
        marker = await look(store)
        async with checkout(store.engine) as other, other.transaction():
            await store.append("a", [made("x", "t:1", "t:2")], connection=other)
            waiting = asyncio.create_task(store.append("b", [made("y")], condition=FailIf(query, after=marker)))
            await lock_waiter(store.engine)
        with pytest.raises(ConditionFailed):
            await waiting


async def test_writers_wait_for_a_condition(store: PostgresEventStore) -> None:
    """An append that could break a condition waits until that has committed; one that could not, goes by."""
    condition = FailIf(Query(QueryItem(types=("x",), tags=("t:1",))))
    async with checkout(store.engine) as other, other.transaction():
        await store.append("a", [made("y")], condition=condition, connection=other)
        await store.append("c", [made("x", "t:2")])
        waiting = asyncio.create_task(store.append("b", [made("x", "t:1")]))
        await lock_waiter(store.engine)
    assert (await waiting).version == 1


async def test_imports_and_conditions(engine: AsyncEngine, settings: PostgresSettings, store: PostgresEventStore) -> None:
    """An import waits for a conditional append, and the other way round; imported tags count."""
    condition = FailIf(Query(QueryItem(tags=("t:1",))))
    async with checkout(store.engine) as other, other.transaction():
        await store.append("a", [made("y")], condition=condition, connection=other)
        importing = asyncio.create_task(store.import_events([("b", made("x", "t:1"))]))
        await lock_waiter(store.engine)
    assert (await importing).recorded == 1
    with pytest.raises(ConditionFailed):
        await store.append("a", [made("y")], condition=condition)


async def test_condition_over_several_streams(store: PostgresEventStore, stored: Stored) -> None:
    """A condition and expected versions guard one append to several streams together."""
    await store.append("a", [made("x", "t:1")])
    marker = await look(store)
    guard = FailIf(Query(QueryItem(tags=("t:1",))), after=marker)
    tokens = await store.append_all([Append("b", [made("x")], 0), Append("c", [made("x", "t:1")])], condition=guard)
    assert [each.version for each in tokens] == [1, 1]
    with pytest.raises(ConditionFailed, match="event 'x' is in stream 'c' at version 1"):
        await store.append_all([Append("d", [made("x")]), Append("e", [made("x")])], condition=guard)
    assert await stored() == 3


async def test_older_snapshot_is_refused(store: PostgresEventStore) -> None:
    """A condition within a transaction that reads an older snapshot is refused, since it could not see what it must."""
    async with checkout(store.engine) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="READ COMMITTED"):
            async with connection.transaction():
                await store.append("a", [made("x")], condition=FailIf(Query()), connection=connection)
        await connection.set_isolation_level(None)


async def test_index_only(store: PostgresEventStore, engine: AsyncEngine) -> None:
    """Whatever a condition asks for, the server looks it up by index, from the marker on."""
    await store.append("s", [made("x", f"t:{each}", "all:1") for each in range(500)])
    marker = await look(store)
    async with checkout(engine) as connection:
        await connection.execute("ANALYZE eventstore.event, eventstore.tag")
        for asked in ("ARRAY['x'], ARRAY['all:1', 't:7']", "ARRAY['x'], NULL", "NULL, NULL"):
            await connection.execute("SELECT pg_stat_force_next_flush()")
            before = await scans(connection)
            await connection.execute(f"SELECT eventstore.matching_v1({asked}, '{marker}', 1, false)")
            await connection.execute("SELECT pg_stat_force_next_flush()")
            assert await scans(connection) == before


async def scans(connection: psycopg.AsyncConnection) -> int:
    """Count the rows that this database's servers read without an index."""
    query = (
        "SELECT sum(seq_tup_read)::int FROM pg_stat_user_tables WHERE schemaname = 'eventstore' AND relname IN ('event', 'tag')"
    )
    row = await (await connection.execute(query)).fetchone()
    return row[0] if row else 0


def test_malformed_queries() -> None:
    """A query that can't be meant is refused when it is written."""
    for item in ({"tags": "course:1"}, {"types": "enrolled"}, {"types": Enrolled}, {"tags": ("",)}, {"tags": ("x" * 257,)}):
        with pytest.raises(UsageError):
            QueryItem(**item)  # pyright: ignore[reportArgumentType]
    assert Query() == Query(QueryItem())


async def lock_waiter(engine: AsyncEngine) -> None:
    from tests.integration.eventstore.test_append import lock_waiter as wait

    await wait(engine)


async def test_tags_travel(store: PostgresEventStore, readable: Callable[[int], Awaitable[Any]]) -> None:
    """What the relay reads of a tagged event is on the wire what the store gives, whatever the tags are made of."""
    await store.append(
        "a", [NewEvent(Enrolled("maths", 1), tags=['a "quoted", {braced} \\ \u2028😀']), NewEvent(Enrolled("art", 2))]
    )
    await readable(2)
    rows = await read_page(store.engine, START, Wanted("no-topic", 100, 1 << 30))
    assert [parse(compose(row[:12], "here"), registry) for row in rows] == (await store.read(Query())).events
