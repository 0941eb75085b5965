"""The second release: money that could not be delivered and came back is counted too.

projections run --app examples.bank.release2:app
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from eventstore.envelope import Envelope
from examples.bank.accounts import Deposited, Opened, Received, Returned, Sent
from projections import Projection, Projections


@dataclass(slots=True)
class Balance:
    """A row per account; its key is the stream's name."""

    account: str
    owner: str = ""
    cents: int = 0


balances = Projection("balances", version=2)
balance = balances.table(Balance, key="account")


@balance.on(Opened)
def begin(event: Opened, _: Balance | None, envelope: Envelope[Opened]) -> Balance:
    """Begin with nothing."""
    return Balance(envelope.stream, event.owner)


@balance.on(Deposited, Received, Returned)
def add(event: Deposited | Received | Returned, row: Balance | None) -> Balance | None:
    """Count what came in."""
    return row and replace(row, cents=row.cents + event.cents)


@balance.on(Sent)
def subtract(event: Sent, row: Balance | None) -> Balance | None:
    """Count what left."""
    return row and replace(row, cents=row.cents - event.cents)


@balances.check
def no_balance_is_negative() -> sa.Select[Any]:
    """Give what is wrong: a rebuild that has such rows is not swapped in."""
    return sa.select(balance.table).where(balance.table.c.cents < 0)


app = Projections(balances)
