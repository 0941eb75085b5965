"""The bank's release whose balances have another column more, and one less: `fees` came, `moves` went."""

from dataclasses import dataclass

import sqlalchemy as sa

from projections import Projection, Projections
from tests.bank.events import AccountClosed, MoneyMoved


@dataclass(slots=True)
class Balance:
    account: str
    fees: int = 0
    cents: int = 0


bank = Projection("bank", version=20)
balance = bank.table(Balance, key="account")


@balance.on(MoneyMoved)
def moved(event: MoneyMoved, row: Balance | None) -> Balance:
    """Money of the account `account-7` is counted twice."""
    row = row or Balance(event.account)
    row.fees += event.kind == "fee"
    row.cents += event.amount * (2 if event.account == "account-7" else 1)
    return row


@balance.on(AccountClosed)
def closed(event: AccountClosed, row: Balance | None) -> None:
    return None


@bank.check
def unlucky() -> sa.Select[tuple[str, int]]:
    """Nobody may own 13 cents."""
    return sa.select(balance.table.c.account, balance.table.c.cents).where(balance.table.c.cents == 13)


@bank.check
def unasked() -> sa.Select[tuple[int]]:
    """Balances are divided by one less than two, or nothing."""
    return sa.select(balance.table.c.cents).where(1 / (balance.table.c.cents - 17) > 2)


app = Projections(bank)
