"""Load, decide, append, again: what a repository promises on PostgreSQL."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from eventstore import WrongExpectedVersion, event
from eventstore.decider import Decider
from eventstore.identity import make_id
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.snapshots import PostgresSnapshots
from eventstore.repository import Repository
from eventstore.snapshot import every
from examples.fulfilment.orders import CancelOrder, Order, OrderPaid, OrderPlaced, PayOrder, PlaceOrder, Refused, orders


@event("aggregate-counted")
class Counted:
    by: int


def add(total: int, counted: Counted) -> int:
    return total + counted.by


def count(by: int, total: int) -> list[Counted]:
    return [Counted(by)] if total < 1_000 else []


counter = Decider(int, add, count)


async def data(store: PostgresEventStore, stream: str) -> list[object]:
    return [each.data async for each in store.read_stream(stream)]


async def test_handled(store: PostgresEventStore) -> None:
    """A command's events are recorded, and the result holds them, the state after them and the token."""
    repository = Repository(store, orders)
    placed = await repository.handle("order-1", PlaceOrder("ada", 5), metadata={"correlationid": "c"})
    assert (placed.events, placed.state, placed.version) == ((OrderPlaced("ada", 5),), Order("placed", 5), 1)
    paid = await repository.handle("order-1", PayOrder(5))
    assert paid.token is not None
    assert (paid.token.version, paid.state.status) == (2, "paid")
    [first, _] = [each async for each in store.read_stream("order-1")]
    assert first.metadata["correlationid"] == "c"
    assert first.token == placed.token


async def test_nothing_decided(store: PostgresEventStore) -> None:
    """A command that changes nothing records nothing and gives the token of the last event."""
    repository = Repository(store, orders)
    first = await repository.handle("order-1", PlaceOrder("ada", 5))
    again = await repository.handle("order-1", PlaceOrder("ada", 5))
    assert (again.events, again.token, again.version) == ((), first.token, 1)


async def test_refused(store: PostgresEventStore) -> None:
    """What the decider raises reaches the caller, and nothing is recorded."""
    with pytest.raises(Refused):
        await Repository(store, orders).handle("order-1", PayOrder(5))
    assert await data(store, "order-1") == []


async def test_concurrent(store: PostgresEventStore) -> None:
    """Commands that collide are decided again on the newer state until each is recorded once."""
    repository = Repository(store, counter)
    results = await asyncio.gather(*(repository.handle("c", 1) for _ in range(12)))
    assert sorted(each.version for each in results) == list(range(1, 13))
    assert sorted(each.state for each in results) == list(range(1, 13))


async def test_bounded(store: PostgresEventStore) -> None:
    """A command that loses every time gives up after its attempts."""
    calls = 0

    async def interfere() -> None:
        nonlocal calls
        calls += 1
        await store.append("c", [Counted(1)])

    class Busy:
        """The store, in which somebody else always comes first."""

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        async def append(self, *arguments: object, **options: object) -> object:
            await interfere()
            return await store.append(*arguments, **options)

    with pytest.raises(WrongExpectedVersion):
        await Repository(Busy(), counter, attempts=3).handle("c", 1)  # type: ignore[arg-type]
    assert calls == 3


async def test_same_command(store: PostgresEventStore) -> None:
    """The same command id again gives the first outcome again, also when others wrote in between."""
    repository = Repository(store, orders)
    command_id = uuid4()
    first = await repository.handle("order-1", PlaceOrder("ada", 5), command_id=command_id)
    await repository.handle("order-1", CancelOrder("changed my mind"))
    again = await repository.handle("order-1", PlaceOrder("ada", 5), command_id=command_id)
    assert again.repeated
    assert (again.events, again.state, again.token) == (first.events, first.state, first.token)
    assert len(await data(store, "order-1")) == 2


async def test_same_command_behind_snapshot(store: PostgresEventStore) -> None:
    """A repeated command is found even when its events lie before the snapshot that the load began from."""
    command_id = make_id()
    async with Repository(store, counter, snapshots=PostgresSnapshots(store.engine), policy=every(1)) as repository:
        first = await repository.handle("c", 5, command_id=command_id)
        await repository.handle("c", 6)
        await repository.settle()
        again = await repository.handle("c", 5, command_id=command_id)
    assert (again.repeated, again.state, again.token) == (True, 5, first.token)
    assert len(await data(store, "c")) == 2


async def test_same_command_at_once(store: PostgresEventStore) -> None:
    """The same command sent many times at once is recorded once, and everyone gets the same outcome."""
    repository = Repository(store, counter)
    command_id = uuid4()
    results = await asyncio.gather(
        *(repository.handle("c", 3, command_id=command_id) for _ in range(8)), repository.handle("c", 1)
    )
    assert {(each.events, each.token) for each in results[:-1]} == {(results[0].events, results[0].token)}
    assert len(await data(store, "c")) == 2


async def test_same_command_elsewhere(store: PostgresEventStore) -> None:
    """One command id may be used for several streams: each records its own."""
    repository = Repository(store, counter)
    command_id = uuid4()
    await repository.handle("a", 1, command_id=command_id)
    assert not (await repository.handle("b", 1, command_id=command_id)).repeated


async def test_expected(store: PostgresEventStore) -> None:
    """A command that was decided on another version is refused at once, with both versions."""
    repository = Repository(store, counter)
    await repository.handle("c", 1)
    with pytest.raises(WrongExpectedVersion) as caught:
        await repository.handle("c", 1, expected=0)
    assert (caught.value.facts["expected"], caught.value.facts["actual"]) == (0, 1)
    assert (await repository.handle("c", 1, expected=1)).version == 2


@pytest.mark.parametrize("form", ["psycopg", "connection", "session"])
async def test_within_transaction(store: PostgresEventStore, form: str) -> None:
    """Within the caller's transaction two commands see each other's events, and a rollback takes both back."""
    repository = Repository(store, orders)

    async def both(connection: object, order: str) -> None:
        await repository.handle(order, PlaceOrder("ada", 5), connection=connection)
        paid = await repository.handle(order, PayOrder(5), connection=connection)
        assert paid.state.status == "paid"

    if form == "psycopg":
        async with checkout(store.engine) as connection:
            async with connection.transaction() as transaction:
                await both(connection, "order-1")
                raise psycopg.Rollback(transaction)
            async with connection.transaction():
                await both(connection, "order-2")
    else:
        opened = AsyncSession(store.engine) if form == "session" else store.engine.connect()
        async with opened as connection:
            await both(connection, "order-1")
            await connection.rollback()
            await both(connection, "order-2")
            await connection.commit()
    assert await data(store, "order-1") == []
    assert await data(store, "order-2") == [OrderPlaced("ada", 5), OrderPaid(5)]


async def test_locked_within_transaction(store: PostgresEventStore) -> None:
    """A stream that a transaction decides on can't be appended to by others until it ends, so it decides once."""
    decided: list[int] = []

    def decide(by: int, total: int) -> list[Counted]:
        decided.append(total)
        return [Counted(by)]

    repository = Repository(store, Decider(int, add, decide))
    async with checkout(store.engine) as connection:
        async with connection.transaction():
            await store.hold("c", connection)
            other = asyncio.create_task(store.append("c", [Counted(10)]))
            await repository.handle("c", 1, connection=connection)
        await other
    assert decided == [0]
    assert await data(store, "c") == [Counted(1), Counted(10)]


async def test_lost_answer(store: PostgresEventStore) -> None:
    """A command whose answer was lost after the commit is sent again and recorded once."""

    class Forgetful:
        """The store, whose first answer to an append is lost."""

        lost = False

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        async def append(self, *arguments: object, **options: object) -> object:
            token = await store.append(*arguments, **options)
            if not self.lost:
                self.lost = True
                raise psycopg.OperationalError("the answer is lost")
            return token

    repository = Repository(Forgetful(), counter)  # type: ignore[arg-type]
    command_id = uuid4()
    with pytest.raises(psycopg.OperationalError):
        await repository.handle("c", 1, command_id=command_id)
    assert (await repository.handle("c", 1, command_id=command_id)).repeated
    assert await data(store, "c") == [Counted(1)]
