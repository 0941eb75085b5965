"""The bank from a terminal: `python -m examples.bank open account-1 ada 1000`, `deposit`, `send`, `race`, `settled`, `balances`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

import sqlalchemy as sa

from eventstore.errors import RefoldError, TimedOut
from eventstore.postgres import PostgresEventStore
from eventstore.repository import Handled, Loaded, Repository
from examples.bank.accounts import Account, AccountCommand, AccountEvent, Deposit, Open, Refused, Send, accounts
from examples.bank.release1 import app, balance, balances
from projections.serving import ReadModels

Bank = Repository[AccountCommand, AccountEvent, Account]
Done = Handled[AccountEvent, Account]


async def change(given: argparse.Namespace, bank: Bank, models: ReadModels) -> None:
    """Carry one command out, and return when the balances have it."""
    commands: dict[str, Callable[[], AccountCommand]] = {
        "open": lambda: Open(given.owner),
        "deposit": lambda: Deposit(given.cents),
        "send": lambda: Send(given.transfer, given.account, given.to, given.cents),
    }
    handled = await bank.handle(given.account, commands[given.verb]())
    if given.verb == "open" and given.cents:
        handled = await bank.handle(given.account, Deposit(given.cents))
    assert handled.token is not None
    await models.wait_for(handled.token, balances, timeout_s=60)
    print(f"{given.account} has {handled.state.cents} cents")


async def race(given: argparse.Namespace, bank: Bank, _: ReadModels) -> None:
    """Send the same amount twenty times at once: as many go through as the balance covers, and not one more."""

    async def try_it(number: int) -> Done | Refused:
        try:
            return await bank.handle(given.account, Send(f"race-{number}", given.account, given.to, given.cents))
        except Refused as refusal:
            return refusal

    outcomes = await asyncio.gather(*map(try_it, range(20)))
    done = [each for each in outcomes if not isinstance(each, Refused)]
    left = (await bank.load(given.account)).state.cents
    print(f"{len(done)} of 20 went through, {left} cents are left")


async def settle(given: argparse.Namespace, bank: Bank, models: ReadModels) -> None:
    """Wait until every transfer between these accounts has arrived or come back, and the balances have it."""
    found: list[Loaded[Account]] = []
    try:
        async with asyncio.timeout(60):
            while not found or find_open(found):
                found = [await bank.load(each) for each in (given.account, given.to)]
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimedOut(
            f"after 60 s on their way still: {', '.join(find_open(found))}. Is `eventstore processes run --app "
            "examples.bank.transfers:app` running?"
        ) from None
    for each in found:
        assert each.token is not None
        await models.wait_for(each.token, balances, timeout_s=60)
    print(", ".join(f"{name} has {each.state.cents} cents" for name, each in zip((given.account, given.to), found, strict=True)))


def find_open(found: Sequence[Loaded[Account]]) -> list[str]:
    """Name the transfers that were sent, and have neither arrived nor come back."""
    seen = frozenset[str]().union(*(each.state.seen for each in found))
    sent = sorted(each.removeprefix("sent ") for each in seen if each.startswith("sent "))
    return [each for each in sent if f"arrived {each}" not in seen and f"returned {each}" not in seen]


async def show(_: argparse.Namespace, __: Bank, models: ReadModels) -> None:
    """List the balances."""
    async with models.session() as session:
        rows = (await session.execute(sa.select(balance.table).order_by("account"))).all()
    for each in rows:
        print(f"{each.account}  {each.owner}  {each.cents}")
    print(f"{sum(each.cents for each in rows)} cents in all")


async def run(given: argparse.Namespace, do: Callable[[argparse.Namespace, Bank, ReadModels], Awaitable[None]]) -> None:
    """Open the store for one command."""
    async with PostgresEventStore.open() as store:
        await do(given, Repository(store, accounts), ReadModels(store.engine, app))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m examples.bank", description=__doc__)
    commands = parser.add_subparsers(dest="verb", required=True)
    for verb, do, names in (
        ("open", change, ("account", "owner", "cents")),
        ("deposit", change, ("account", "cents")),
        ("send", change, ("account", "to", "cents", "transfer")),
        ("race", race, ("account", "to", "cents")),
        ("settled", settle, ("account", "to")),
        ("balances", show, ()),
    ):
        command = commands.add_parser(verb)
        command.set_defaults(do=do)
        for each in names:
            command.add_argument(each, type=int if each == "cents" else str)
    given = parser.parse_args()
    try:
        asyncio.run(run(given, given.do))
    except Refused as refusal:
        raise SystemExit(f"refused: {refusal}") from None
    except RefoldError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
