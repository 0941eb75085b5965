"""The bank written by SQL, whose rows are in sinks too: balances by Valkey and a search index, the journal in another PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from eventstore.envelope import Envelope
from projections import Postgres, Projection, Projections, Search, Valkey
from tests.bank.events import AccountClosed, MoneyMoved

projection = Projection("bank", version=19)


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


balance = projection.table(Balance, key="account", indexes=[("cents",)])
line = projection.table(Line, key=("stream", "version"))
ranked = balance.into(Valkey(ranked=["cents"]))
found = balance.into(Search(text=["account"], exact=["cents"]))
lines = line.into(Postgres())


@projection.sql(MoneyMoved, apart=True)
def moved(connection: sa.Connection, event: MoneyMoved) -> None:
    made = insert(balance.table).values(account=event.account, cents=event.amount, moves=1)
    sums = {"cents": balance.table.c.cents + made.excluded.cents, "moves": balance.table.c.moves + 1}
    connection.execute(made.on_conflict_do_update(index_elements=["account"], set_=sums))
    if event.kind == "refused":
        connection.execute(sa.text("INSERT INTO balance (account, cents, moves) VALUES ('half', 7, NULL)"))


@projection.sql(AccountClosed, apart=True)
def closed(connection: sa.Connection, event: AccountClosed) -> None:
    connection.execute(sa.text("DELETE FROM balance WHERE account = :account"), {"account": event.account})


@projection.sql_batch(MoneyMoved, apart=True)
def journal(connection: sa.Connection, envelopes: Sequence[Envelope[MoneyMoved]]) -> None:
    rows: list[dict[str, Any]] = [{"stream": e.stream, "version": e.version, "amount": e.data.amount} for e in envelopes]
    connection.execute(sa.insert(line.table), rows)


app = Projections(projection)
