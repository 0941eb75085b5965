"""The reply to a commit is lost on the way: nobody knows whether the append was recorded (F01, F02)."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from eventstore import NO_STREAM, Append, NewEvent, PostgresSettings, RawEvent, WrongExpectedVersion
from eventstore.errors import Unreachable
from eventstore.moments import CRASHED
from eventstore.postgres import PostgresEventStore
from tests.stack.proxy import Fault, Proxy
from tests.stack.waiting import eventually

Far = tuple[Proxy, PostgresEventStore]


@pytest.fixture
async def far(settings: PostgresSettings, proxy: Callable[[str, int], Awaitable[Proxy]]) -> AsyncIterator[Far]:
    """The store behind a proxy, with a connection that was used already."""
    parts = urlsplit(settings.dsn.get_secret_value())
    between = await proxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    userinfo = parts.netloc.rpartition("@")[0]
    dsn = SecretStr(parts._replace(netloc=f"{userinfo}@{between.address}").geturl())
    async with PostgresEventStore.open(settings.model_copy(update={"dsn": dsn, "append_attempts": 4})) as store:
        await store.append("warm", [RawEvent("x", {})])
        yield between, store
        between.heal()


async def recorded(store: PostgresEventStore, events: int) -> None:
    async def there() -> bool:
        return len([each async for each in store.read_stream("a", decoded=False)]) == events

    await eventually(there, f"{events} recorded events")


async def test_reply_lost_after_commit(store: PostgresEventStore, far: Far) -> None:
    """An append whose reply is lost is sent again under the same ids and recorded once."""
    proxy, distant = far
    proxy.break_by(Fault.DROP_REPLIES)
    appending = asyncio.create_task(distant.append("a", [RawEvent("x", {}), RawEvent("y", {})], expected=NO_STREAM))
    await recorded(store, 2)
    proxy.heal()
    proxy.reset()
    assert (await appending).version == 2
    assert proxy.dropped_bytes > 0
    assert [each.type async for each in store.read_stream("a", decoded=False)] == ["x", "y"]


async def test_reply_lost_for_a_group(store: PostgresEventStore, far: Far) -> None:
    """A group whose reply is lost is sent again whole, and every member is recorded once and answered as its own."""
    proxy, distant = far
    proxy.break_by(Fault.DROP_REPLIES)
    calls = [distant.append("a", [RawEvent("x", {}), RawEvent("y", {})], expected=NO_STREAM)]
    calls += [distant.append("f", [RawEvent("x", {})], expected=9)]
    calls += [distant.append(stream, [RawEvent("x", {})]) for stream in ("b", "c", "b")]
    several = distant.append_all([Append("d", [RawEvent("x", {})]), Append("e", [RawEvent("x", {})], NO_STREAM)])
    appending = asyncio.gather(*calls, several, return_exceptions=True)
    await recorded(store, 2)
    proxy.heal()
    proxy.reset()
    results = await appending
    assert proxy.dropped_bytes > 0
    assert isinstance(results[1], WrongExpectedVersion)
    assert [each.version for each in (results[0], *results[2:5])] == [2, 1, 1, 2]
    assert [each.version for each in results[5]] == [1, 1]
    assert len({results[each].position.xid for each in (0, 2, 3, 4)} | {results[5][0].position.xid}) == 1
    for stream, events in (("a", 2), ("b", 2), ("c", 1), ("d", 1), ("e", 1)):
        assert len([each async for each in store.read_stream(stream, decoded=False)]) == events


KILLED = """
import asyncio, sys
from uuid import UUID
from eventstore import Append, NewEvent, RawEvent
from eventstore.postgres import PostgresEventStore

async def main():
    ids = [UUID(each) for each in sys.argv[1:]]
    one, two, three = [NewEvent(RawEvent("x", {}), id=each) for each in ids]
    async with PostgresEventStore.open() as store:
        await asyncio.gather(store.append("a", [one], expected=0), store.append_all([Append("b", [two]), Append("c", [three])]))

asyncio.run(main())
"""


async def test_killed_before_the_answer(store: PostgresEventStore, settings: PostgresSettings) -> None:
    """A writer that dies between commit and answer leaves a recorded group; the same appends again say where it lies (F01)."""
    events = [NewEvent(RawEvent("x", {})) for _ in range(3)]
    environment = {**os.environ, "REFOLD_FAIL_AT": "append.after_commit", "REFOLD_POSTGRES_DSN": settings.dsn.get_secret_value()}
    arguments = [sys.executable, "-c", KILLED, *(str(each.id) for each in events)]
    process = await asyncio.create_subprocess_exec(*arguments, env=environment)
    assert await process.wait() == CRASHED
    token = await store.append("a", [events[0]], expected=NO_STREAM)
    tokens = await store.append_all([Append("b", [events[1]]), Append("c", [events[2]])])
    assert [each.version for each in (token, *tokens)] == [1, 1, 1]
    assert len({each.position.xid for each in (token, *tokens)}) == 1
    for stream, new in zip("abc", events, strict=True):
        assert [each.id async for each in store.read_stream(stream, decoded=False)] == [new.id]


async def test_server_stays_away(store: PostgresEventStore, far: Far) -> None:
    """When the server stays away the error says that the outcome is unknown, and the same events can be appended later."""
    proxy, distant = far
    event = NewEvent(RawEvent("x", {}))
    proxy.break_by(Fault.DROP_REPLIES)
    appending = asyncio.create_task(distant.append("a", [event]))
    await recorded(store, 1)
    proxy.break_by(Fault.REFUSE)
    proxy.reset()
    with pytest.raises(Unreachable, match="outcome of the append is unknown"):
        await appending
    assert (await store.append("a", [event])).version == 1
    assert [each.id async for each in store.read_stream("a", decoded=False)] == [event.id]
