"""The shop from a terminal: `python -m examples.orders sample`, `find WORDS`, `top`; and `receive`, `ship` and `withdraw` for your own."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Coroutine

from eventstore.errors import RefoldError
from eventstore.postgres import PostgresEventStore
from eventstore.repository import Repository
from examples.orders.ordering import OrderCommand, Receive, Refused, Ship, Withdraw, orders
from examples.orders.read_models import app, customer_cache, customer_ranks, order_book, order_search
from projections.serving import ReadModels, Sinks

SAMPLE: tuple[tuple[str, OrderCommand], ...] = (
    ("order-1", Receive("ada", "de", ["blue kettle", "teapot"], 4_200)),
    ("order-2", Receive("grace", "us", ["red kettle"], 9_900)),
    ("order-3", Receive("ada", "de", ["tea towels"], 1_500)),
    ("order-2", Ship()),
)


async def record(*wanted: tuple[str, OrderCommand]) -> None:
    """Carry commands out, and return when every reader can see what each did, whichever place they read."""
    async with PostgresEventStore.open() as store:
        models = ReadModels(store.engine, app)
        for name, command in wanted:
            handled = await Repository(store, orders).handle(name, command)
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
        "sample": (),
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
    try:
        asyncio.run(choose(parser.parse_args()))
    except Refused as refusal:
        raise SystemExit(f"refused: {refusal}") from None
    except RefoldError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def choose(given: argparse.Namespace) -> Coroutine[None, None, None]:
    """Give the work that the arguments ask for."""
    match given.verb:
        case "find":
            return find(given.words)
        case "top":
            return top()
        case "sample":
            return record(*SAMPLE)
        case _:
            return record((given.order, compose(given)))


def compose(given: argparse.Namespace) -> OrderCommand:
    """Make the command that the arguments describe."""
    match given.verb:
        case "receive":
            return Receive(given.customer, given.country, given.items, given.cents)
        case "ship":
            return Ship()
        case _:
            return Withdraw(given.reason)


if __name__ == "__main__":
    main()
