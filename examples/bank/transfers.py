"""Transfers: money that left one account reaches the other, or comes back. A process manager sees to it, whoever dies in between.

eventstore processes run --app examples.bank.transfers:app
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from eventstore.process import Complete, Effect, Process, Processes
from eventstore.process import Send as Order
from examples.bank.accounts import Deposit, Open, Receive, Received, Rejected, Return, Send, Sent, accounts


@dataclass(frozen=True)
class Transfer:
    """Where a transfer came from."""

    name: str
    sender: str = ""


Happened = Sent | Received | Rejected


def find_transfer(happened: Happened, _: str) -> str:
    """Give the transfer that an event is about."""
    return happened.transfer


def evolve(transfer: Transfer, happened: Happened) -> Transfer:
    """Remember who is to have the money back if it can't be delivered."""
    return replace(transfer, sender=happened.sender) if isinstance(happened, Sent) else transfer


def react(transfer: Transfer, happened: Happened) -> Iterable[Effect]:
    """Say what follows from what *happened*."""
    match happened:
        case Sent():
            yield Order(happened.to, Receive(happened.transfer, happened.cents))
        case Received():
            yield Complete()
        case Rejected():
            yield Order(transfer.sender, Return(happened.transfer, happened.cents))
            yield Complete()


transfers = Process("transfers", Transfer, evolve, react, events=(Sent, Received, Rejected), key=find_transfer)
app = Processes(transfers)
app.route(accounts, Open, Deposit, Send, Receive, Return)
