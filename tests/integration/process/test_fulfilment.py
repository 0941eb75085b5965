"""The whole way: an order is placed, money is asked for, and it comes or does not come in time."""

from __future__ import annotations

from examples.fulfilment.billing import ReceivePayment, bills
from examples.fulfilment.fulfilment import app
from examples.fulfilment.orders import PlaceOrder, orders

from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.tasks import Agenda
from eventstore.process.runner import Runner
from eventstore.repository import Repository
from eventstore.settings import ProcessSettings
from tests.stack.waiting import eventually

QUICK = ProcessSettings(lease_s=2.0, retry_s=0.05)


async def events(store: PostgresEventStore, stream: str) -> list[str]:
    return [each.type async for each in store.read_stream(stream)]


async def test_paid_in_time(store: PostgresEventStore) -> None:
    """A placed order is billed, a received payment pays it, and its timer is gone."""
    runner = Runner(store, app, QUICK)
    await Repository(store, orders).handle("order-1", PlaceOrder("ada", 4_200))

    async def billed() -> bool:
        await runner.drain()
        return await events(store, "bill-order-1") == ["payment-requested"]

    await eventually(billed, "the bill")
    await Repository(store, bills).handle("bill-order-1", ReceivePayment())

    async def paid() -> bool:
        await runner.drain()
        return await events(store, "order-1") == ["order-placed", "order-paid"]

    await eventually(paid, "the payment")
