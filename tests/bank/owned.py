"""A release of the bank whose every row belongs to one stream, so that partitions never touch each other's."""

from projections import Projection, Projections
from tests.bank.events import AccountClosed, MoneyMoved
from tests.bank.read_model import Balance, Trail, closed, trailed
from tests.bank.release1 import moved

bank = Projection("bank", version=6)
balance = bank.table(Balance, key="account", indexes=[("cents",)])
trail = bank.table(Trail, key="stream")
trail.on(MoneyMoved, AccountClosed)(trailed)
balance.on(MoneyMoved)(moved)
balance.on(AccountClosed)(closed)

app = Projections(bank)
