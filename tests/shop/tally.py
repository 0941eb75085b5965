"""Read models of two captured tables under faults: payments, of which rows only come, and prices, which come, change and go."""

from dataclasses import dataclass

from cdc import CapturedTable, Change
from projections import Projection, Projections

SCHEMA = (
    "CREATE TABLE payment (account text, number integer, amount integer NOT NULL, PRIMARY KEY (account, number))",
    "CREATE TABLE price (item integer PRIMARY KEY, cents integer NOT NULL)",
)
PAYMENTS = CapturedTable("operations", "public.payment")
PRICES = CapturedTable("operations", "public.price")


@dataclass(slots=True)
class Payment:
    account: str
    number: int
    amount: int


@dataclass(slots=True)
class Price:
    item: int
    cents: int


tally = Projection("tally")
payments = tally.table(Payment, key=("account", "number"))
prices = tally.table(Price, key="item")


@payments.on_change(PAYMENTS)
def paid(change: Change, row: Payment | None) -> Payment | None:
    return None if change.after is None else Payment(**change.after)


@prices.on_change(PRICES)
def priced(change: Change, row: Price | None) -> Price | None:
    return None if change.after is None else Price(**change.after)


app = Projections(tally)
