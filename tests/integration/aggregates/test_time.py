"""Time travel: a state as it was at a version or at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventstore.errors import UsageError
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.snapshots import PostgresSnapshots
from eventstore.repository import Repository
from eventstore.snapshot import every
from examples.fulfilment.orders import Order, PayOrder, PlaceOrder, orders


async def test_by_version(store: PostgresEventStore) -> None:
    """A state is loaded as it was at any version, whatever snapshots are newer."""
    async with Repository(store, orders, snapshots=PostgresSnapshots(store.engine), policy=every(1)) as repository:
        await repository.handle("order-1", PlaceOrder("ada", 5))
        await repository.handle("order-1", PayOrder(5))
        await repository.settle()
        states = [(await repository.load("order-1", version=each)).state.status for each in range(4)]
    assert states == ["new", "placed", "paid", "paid"]
    with pytest.raises(UsageError, match="count from 1"):
        await repository.load("order-1", version=-1)


async def test_by_time(store: PostgresEventStore) -> None:
    """A state is loaded as it was known at a time, by the database's clock."""
    repository = Repository(store, orders)
    await repository.handle("order-1", PlaceOrder("ada", 5))
    await repository.handle("order-1", PayOrder(5))
    placed, paid = [each.recorded_at async for each in store.read_stream("order-1")]
    moment = timedelta(microseconds=1)
    states = [(await repository.load("order-1", as_of=each)).state for each in (placed - moment, placed, paid - moment, paid)]
    assert states == [Order(), Order("placed", 5), Order("placed", 5), Order("paid", 5)]
    assert (await repository.load("order-1", as_of=datetime(2100, 1, 1, tzinfo=UTC))).version == 2
    with pytest.raises(UsageError, match="no time zone"):
        await repository.load("order-1", as_of=datetime(2020, 1, 1))  # noqa: DTZ001 - that is the mistake
