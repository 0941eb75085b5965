"""The shop from a terminal: `python -m examples.orders receive order-1 ada de 4200 "blue kettle" teapot`, `ship`, `find`, `top`."""

from __future__ import annotations

import argparse
import asyncio

from eventstore.postgres import PostgresEventStore
from eventstore.repository import Repository
from examples.orders.ordering import OrderCommand, Receive, Ship, Withdraw, orders
from examples.orders.read_models import app, customer_cache, customer_ranks, order_book, order_search
from projections.serving import ReadModels, Sinks


async def record(name: str, wanted: OrderCommand) -> None:
    """Carry a command out, and return when every reader can see what it did, whichever place they read."""
    async with PostgresEventStore.open() as store:
        handled = await Repository(store, orders).handle(name, wanted)
        models = ReadModels(store.engine, app)
        assert handled.token is not None
        await models.reach(await models.bookmark(handled.token), order_book, customer_ranks, timeout_s=60)
        print(f"{name} is {handled.state} at version {handled.version}")


async def find(words: str) -> None:
    """Search orders."""
    async with PostgresEventStore.open() as store, Sinks(store.engine) as sinks:
        found = await (await sinks.read(order_search)).find(words, order="cents")
        print(f"{found.total} found")
        for each in found.rows:
            print(f"{each.id}  {each.customer}  {', '.join(each.items)}  {each.cents} cents  {each.status}")


async def top() -> None:
    """List the best customers."""
    async with PostgresEventStore.open() as store, Sinks(store.engine) as sinks:
        for each in await (await sinks.read(customer_cache)).ranked("cents", 3):
            print(f"{each.name}  {each.orders} orders  {each.cents} cents")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m examples.orders", description=__doc__)
    commands = parser.add_subparsers(dest="verb", required=True)
    arguments = {
        "receive": ("order", "customer", "country", "cents"),
        "ship": ("order",),
        "withdraw": ("order", "reason"),
        "find": ("words",),
        "top": (),
    }
    for verb, names in arguments.items():
        command = commands.add_parser(verb)
        for each in names:
            command.add_argument(each, type=int if each == "cents" else str)
        if verb == "receive":
            command.add_argument("items", nargs="+")
    given = parser.parse_args()
    match given.verb:
        case "receive":
            asyncio.run(record(given.order, Receive(given.customer, given.country, given.items, given.cents)))
        case "ship":
            asyncio.run(record(given.order, Ship()))
        case "withdraw":
            asyncio.run(record(given.order, Withdraw(given.reason)))
        case "find":
            asyncio.run(find(given.words))
        case _:
            asyncio.run(top())


if __name__ == "__main__":
    main()
