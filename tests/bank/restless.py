"""A release of the bank that nobody should deploy: its rows are others each time they are folded."""

from dataclasses import dataclass
from uuid import uuid4

from projections import Projection, Projections
from tests.bank.events import MoneyMoved


@dataclass(slots=True)
class Balance:
    account: str
    cents: int = 0
    mark: str = ""


bank = Projection("bank", version=4)
balance = bank.table(Balance, key="account")


@balance.on(MoneyMoved)
def moved(event: MoneyMoved, row: Balance | None) -> Balance:
    row = row or Balance(event.account)
    row.cents += event.amount
    row.mark = str(uuid4())
    return row


app = Projections(bank)
