"""The fulfilment of orders on a real database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from eventstore.postgres import PostgresEventStore, checkout
from eventstore.process.runner import Runner
from eventstore.repository import Repository
from eventstore.settings import ProcessSettings
from examples.fulfilment.billing import ReceivePayment, bills
from examples.fulfilment.fulfilment import app
from examples.fulfilment.orders import PlaceOrder, orders
from tests.integration.eventstore.conftest import engine, postgres_template, settings, store
from tests.stack.waiting import eventually

__all__ = ["engine", "postgres_template", "settings", "store"]
QUICK = ProcessSettings(lease_s=60.0, retry_s=0.05, idle_poll_s=0.02)


class Shop:
    """A shop whose orders are fulfilled by the example."""

    def __init__(self, store: PostgresEventStore) -> None:
        self.store = store
        self.runner = Runner(store, app, QUICK)

    async def place(self, *names: str) -> None:
        """Place an order of each name."""
        for each in names:
            await Repository(self.store, orders).handle(each, PlaceOrder("ada", 4_200))

    async def pay(self, *names: str) -> None:
        """Let the money for each order come."""
        for each in names:
            await Repository(self.store, bills).handle(f"bill-{each}", ReceivePayment())

    async def types(self, stream: str) -> list[str]:
        """Give the types of a stream's events."""
        return [each.type async for each in self.store.read_stream(stream, decoded=False)]

    async def runs(self, done: Callable[[], Awaitable[bool]], what: str) -> None:
        """Do what is due, again and again, until *done*: other databases of the server hold ordered readers back."""

        async def step() -> bool:
            await self.runner.drain()
            return await done()

        await eventually(step, what)

    async def ask(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Ask the database."""
        async with checkout(self.store.engine) as connection:
            return await (await connection.execute(statement, values)).fetchall()

    async def do(self, statement: str, *values: object) -> None:
        """Change the database."""
        async with checkout(self.store.engine) as connection:
            await connection.execute(statement, values)

    async def hurry(self, instance: str) -> None:
        """Let the timeouts of *instance* be due now."""
        await self.do(
            "UPDATE eventstore.task SET due_at = clock_timestamp() WHERE kind = 'timeout' AND state = 'waiting' AND instance = %s",
            instance,
        )

    async def expire(self) -> None:
        """Let every lease run out."""
        await self.do("UPDATE eventstore.process SET lease_until = '-infinity'")
        await self.do("UPDATE eventstore.task SET lease_until = '-infinity' WHERE lease_until IS NOT NULL")

    async def tasks(self) -> Counter[tuple[object, ...]]:
        """Count tasks by kind and state."""
        return Counter(await self.ask("SELECT kind, state FROM eventstore.task"))


@pytest.fixture
def shop(store: PostgresEventStore) -> Shop:
    return Shop(store)
