"""Nothing ever appears behind a position that a reader was given, and a stream's versions never change places (F03, F04, F06)."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from eventstore import START, Envelope, Position, RawEvent
from eventstore.errors import RefoldError
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.horizon import find_horizon

Read = Callable[[], Awaitable[list[str]]]
Readable = Callable[[int], Awaitable[Position]]
Stored = Callable[[], Awaitable[int]]


class Boom(Exception):
    """What makes a writer roll back."""


async def write(store: PostgresEventStore, seed: int, rounds: int) -> None:
    """Append in transactions that begin early, touch other tables first, and roll back in part or whole, as *seed* says.

    Streams are locked in one order: two transactions that wait for each other would only cost a second each.
    """
    chance = random.Random(seed)
    for _ in range(rounds):
        async with checkout(store.engine) as connection:
            try:
                async with connection.transaction():
                    await write_once(store, connection, chance)
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, Boom):
                continue


async def write_once(store: PostgresEventStore, connection: psycopg.AsyncConnection, chance: random.Random) -> None:
    if chance.random() < 0.5:
        await connection.execute("INSERT INTO elsewhere VALUES (1)")
    for number in sorted(chance.choices(range(3), k=chance.randint(1, 3))):
        if chance.random() < 0.3:
            async with connection.transaction(force_rollback=True):
                await store.append(f"s{number}", [RawEvent("ghost", {})], connection=connection)
        await asyncio.sleep(0)
        await store.append(f"s{number}", [RawEvent("real", {})] * chance.randint(1, 2), connection=connection)
    if chance.random() < 0.3:
        raise Boom


async def follow(store: PostgresEventStore, done: asyncio.Event, page: int) -> list[Envelope]:
    """Read everything from its own checkpoint on, page by page, until the writers are done and nothing is left."""
    seen: list[Envelope] = []
    while True:
        finished = done.is_set()
        after = seen[-1].position if seen else START
        found = [each async for each in store.read_all(after, limit=page, decoded=False)]
        seen += found
        if finished and not found:
            return seen
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_reader_misses_an_event(store: PostgresEventStore, stored: Stored, readable: Readable, seed: int) -> None:
    """Whatever writers do, every reader sees all committed events once, in one order, each stream by version."""
    async with checkout(store.engine) as connection:
        await connection.execute("CREATE TABLE elsewhere (x int)")
    done = asyncio.Event()
    readers = [asyncio.create_task(follow(store, done, page)) for page in (1, 7, 1000)]
    await asyncio.gather(*(write(store, seed * 100 + each, 15) for each in range(8)))
    committed = await stored()
    await readable(committed)
    done.set()
    seen = await asyncio.gather(*readers)
    for each in seen:
        positions = [found.position for found in each]
        assert positions == sorted(positions)
        assert len(set(positions)) == committed > 50
        assert {found.type for found in each} == {"real"}
        for stream in {found.stream for found in each}:
            versions = [found.version for found in each if found.stream == stream]
            assert versions == list(range(1, len(versions) + 1))


async def reverse_commits(store: PostgresEventStore, readable: Readable, read: Read) -> list[str]:
    """Let A append, then B append and commit, then read; let A commit, then read again. Give all that was read."""
    async with checkout(store.engine) as slow, slow.transaction():
        await store.append("a", [RawEvent("real", {})], connection=slow)
        await store.append("b", [RawEvent("real", {})])
        seen = await read()
    await readable(2)
    return seen + await read()


async def test_commits_in_reverse_order(store: PostgresEventStore, readable: Readable) -> None:
    """An event whose transaction began earlier and committed later is read, and before the other (F03)."""
    after = START

    async def read() -> list[str]:
        nonlocal after
        found = [each async for each in store.read_all(after, decoded=False)]
        after = found[-1].position if found else after
        return [each.stream for each in found]

    assert await reverse_commits(store, readable, read) == ["a", "b"]


async def test_checkpoint_by_sequence_loses_events(store: PostgresEventStore, readable: Readable) -> None:
    """The planted mistake, a checkpoint that is the sequence alone, loses an event under the same schedule."""
    after = 0

    async def read() -> list[str]:
        nonlocal after
        async with checkout(store.engine) as connection:
            query = "SELECT position, stream FROM eventstore.event WHERE position > %s ORDER BY position"
            rows = await (await connection.execute(query, (after,))).fetchall()
        after = rows[-1][0] if rows else after
        return [row[1] for row in rows]

    assert await reverse_commits(store, readable, read) == ["b"]


async def old_writer(store: PostgresEventStore, readable: Readable) -> list[int]:
    """Let an old transaction append version 2 after a younger one appended version 1; give the versions as readers get them."""
    async with checkout(store.engine) as old, old.transaction():
        await old.execute("SELECT pg_current_xact_id()")
        await store.append("s", [RawEvent("real", {})])
        await store.append("s", [RawEvent("real", {})], connection=old)
    await readable(2)
    return [each.version async for each in store.read_all(decoded=False)]


async def test_without_guard_versions_change_places(store: PostgresEventStore, readable: Readable) -> None:
    """The planted mistake, append_v3 without its guard, gives readers version 2 before version 1; with it, 40001 (F04)."""
    with pytest.raises(psycopg.errors.SerializationFailure):
        await old_writer(store, readable)
    async with checkout(store.engine) as connection:
        row = await (await connection.execute("SELECT pg_get_functiondef('eventstore.append_v3'::regproc)")).fetchone()
        source: str = row[0] if row else ""
        assert " AND s.last_xid <= v_me" in source
        await connection.execute(source.replace(" AND s.last_xid <= v_me", ""))
        await connection.execute("ALTER TABLE eventstore.event DISABLE TRIGGER event_append_only")
        await connection.execute("ALTER TABLE eventstore.stream DISABLE TRIGGER stream_kept")
        await connection.execute("DELETE FROM eventstore.event; DELETE FROM eventstore.stream")
    assert await old_writer(store, readable) == [2, 1]


async def test_open_transaction_holds_readers_back(store: PostgresEventStore, readable: Readable) -> None:
    """While an older transaction runs nothing after it is readable in order, and the horizon names who holds it."""
    async with checkout(store.engine) as slow, slow.transaction():
        await store.append("a", [RawEvent("real", {})], connection=slow)
        await store.append("b", [RawEvent("real", {})])
        assert (await store.head(), await store.count()) == (START, 0)
        horizon = await find_horizon(store.engine)
        assert horizon.lag_s > 0
        assert horizon.holders[0].pid is not None
        assert "oldest writing transaction" in horizon.describe()
    assert await readable(2) > START


async def test_unknown_type_says_which(store: PostgresEventStore) -> None:
    """Reading a type that no class answers for is an error that names the type."""
    await store.append("a", [RawEvent("never-declared", {})])
    with pytest.raises(RefoldError, match="never-declared"):
        _ = [each async for each in store.read_stream("a")]
