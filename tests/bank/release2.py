"""The bank's next release: balances hold the turnover, whichever way the money went."""

from projections import Projections
from tests.bank.events import MoneyMoved
from tests.bank.read_model import Balance, declare


def moved(event: MoneyMoved, row: Balance | None) -> Balance:
    row = row or Balance(event.account)
    row.cents += abs(event.amount)
    row.moves += 1
    return row


bank = declare(2, moved)
app = Projections(bank.projection)
