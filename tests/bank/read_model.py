"""The bank's read model, declared once for both releases.

`Balance` is deleted when an account closes; `KindTotal` is touched from every partition; `Trail` keeps the versions in the order
in which they were applied, so that a lost, repeated or misplaced event shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from eventstore.envelope import Envelope
from projections import Projection, Table
from tests.bank.events import AccountClosed, MoneyMoved


@dataclass(slots=True)
class Balance:
    account: str
    cents: int = 0
    moves: int = 0


@dataclass(slots=True)
class KindTotal:
    kind: str
    moves: int = 0
    total: int = 0
    smallest: int = 0
    largest: int = 0


@dataclass(slots=True)
class Trail:
    stream: str
    versions: list[int] = field(default_factory=list)


class Bank(NamedTuple):
    """A release's projection and its tables."""

    projection: Projection
    balance: Table[Balance]
    kinds: Table[KindTotal]
    trail: Table[Trail]


def declare(version: int, moved: Callable[[MoneyMoved, Balance | None], Balance]) -> Bank:
    """Declare the read model with *moved* as the handler of balances."""
    bank = Projection("bank", version=version)
    balance = bank.table(Balance, key="account", indexes=[("cents",)])
    kinds = bank.table(KindTotal, key="kind")
    trail = bank.table(Trail, key="stream")
    trail.on(MoneyMoved, AccountClosed)(trailed)
    balance.on(MoneyMoved)(moved)
    balance.on(AccountClosed)(closed)
    kinds.on(MoneyMoved, key=kind_of)(counted)
    return Bank(bank, balance, kinds, trail)


def kind_of(event: MoneyMoved) -> str:
    return event.kind


def closed(event: AccountClosed, row: Balance | None) -> None:
    return None


def trailed(event: Any, row: Trail | None, envelope: Envelope[Any]) -> Trail:
    row = row or Trail(envelope.stream)
    row.versions.append(envelope.version)
    return row


def counted(event: MoneyMoved, row: KindTotal | None) -> KindTotal:
    if event.kind == "poison":
        raise ValueError("this move can't be counted")
    row = row or KindTotal(event.kind, smallest=event.amount, largest=event.amount)
    row.moves += 1
    row.total += event.amount
    row.smallest, row.largest = min(row.smallest, event.amount), max(row.largest, event.amount)
    return row
