"""The bank written by SQL: balances by a statement an event, a journal by one a batch, beside rows that are folded and spans."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from eventstore.envelope import Envelope
from projections import Projection, Projections
from tests.bank.events import AccountClosed, MoneyMoved

projection = Projection("bank", version=6)
MISDEED = "BANK_MISDEED"
"""A variable of the environment: a statement that the handler runs for moves of kind `misdeed`."""


@dataclass(slots=True)
class Balance:
    account: str
    cents: int = 0
    moves: int = 0


@dataclass(slots=True)
class Line:
    stream: str
    version: int
    amount: int


@dataclass(slots=True)
class Total:
    stream: str
    cents: int = 0
    versions: str = ""


balance = projection.table(Balance, key="account", indexes=[("cents",)])
line = projection.table(Line, key=("stream", "version"))
total = projection.table(Total, key="stream")


@projection.sql(MoneyMoved, apart=True)
def moved(connection: sa.Connection, event: MoneyMoved) -> None:
    if event.kind.startswith("sql:"):
        connection.execute(sa.text(event.kind[4:]))
    if event.kind == "misdeed":
        connection.execute(sa.text(os.environ[MISDEED]))
    if event.kind == "refused":
        connection.execute(sa.text("INSERT INTO balance (account, cents, moves) VALUES (:account, 7, NULL)"), {"account": "half"})
    made = insert(balance.table).values(account=event.account, cents=event.amount, moves=1)
    sums = {"cents": balance.table.c.cents + made.excluded.cents, "moves": balance.table.c.moves + 1}
    connection.execute(made.on_conflict_do_update(index_elements=["account"], set_=sums))


@projection.sql(AccountClosed, apart=True)
def closed(connection: sa.Connection, event: AccountClosed) -> None:
    connection.execute(sa.text("DELETE FROM balance WHERE account = :account"), {"account": event.account})


@projection.sql_batch(MoneyMoved, apart=True)
def journal(connection: sa.Connection, envelopes: Sequence[Envelope[MoneyMoved]]) -> None:
    rows: list[dict[str, Any]] = [{"stream": e.stream, "version": e.version, "amount": e.data.amount} for e in envelopes]
    connection.execute(sa.insert(line.table), rows)


@total.spans(MoneyMoved)
def added(events: list[MoneyMoved], row: Total | None, envelopes: list[Envelope[MoneyMoved]]) -> Total:
    if any(each.kind == "unfit" for each in events):
        raise ValueError("an unfit move")
    row = row or Total(envelopes[0].stream)
    row.cents += sum(each.amount for each in events)
    row.versions += "".join(f" {each.version}" for each in envelopes)
    return row


app = Projections(projection)
