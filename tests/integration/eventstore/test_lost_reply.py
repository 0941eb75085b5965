"""The reply to a commit is lost on the way: nobody knows whether the append was recorded (F01, F02)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from eventstore import NO_STREAM, NewEvent, PostgresSettings, RawEvent
from eventstore.errors import Unreachable
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
