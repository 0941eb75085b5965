"""The events and projections that the benchmarks fold: money moved on ten thousand accounts, or on as many as asked for."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from eventstore import event
from eventstore.envelope import NewEvent
from projections import Projection, Projections
from projections.declaration.aggregate import Count, Distinct, Last, Max, Min, Sum

ACCOUNTS = 10_000


@event("bench-money-moved", version=1)
class MoneyMoved:
    """An amount was booked."""

    account: str
    cents: int
    reference: str


@dataclass(slots=True)
class Balance:
    """What an account holds."""

    account: str
    cents: int = 0
    bookings: int = 0


balances = Projection("balances", version=1)
balance = balances.table(Balance, key="account")


@dataclass(slots=True)
class Booking:
    """One row per event."""

    reference: str
    account: str
    cents: int


ledger = Projection("ledger", version=1)
booking = ledger.table(Booking, key="reference")


@balance.on(MoneyMoved)
def book(moved: MoneyMoved, row: Balance | None) -> Balance:
    """Add up."""
    row = row or Balance(moved.account)
    row.cents += moved.cents
    row.bookings += 1
    return row


@booking.add(MoneyMoved)
def note(moved: MoneyMoved) -> Booking:
    """Keep every booking."""
    return Booking(moved.reference, moved.account, moved.cents)


journal = Projection("journal", version=1)
entry = journal.table(Booking, key="reference", name="entry")


@entry.on(MoneyMoved, key=lambda moved: moved.reference)
def write(moved: MoneyMoved, row: Booking | None) -> Booking:  # noqa: ARG001 - every event has a row of its own
    """Keep every booking, in a table whose rows could change."""
    return Booking(moved.reference, moved.account, moved.cents)


declared = Projection("declared", version=1)
declared.aggregate(MoneyMoved, by="account", name="balance", cents=Sum("cents"), bookings=Count())

detailed = Projection("detailed", version=1)
detailed.aggregate(
    MoneyMoved,
    by="account",
    name="statement",
    cents=Sum("cents"),
    bookings=Count(),
    least=Min("cents"),
    most=Max("cents"),
    latest=Last("cents"),
    references=Distinct("reference"),
)


def make_events(end: int, accounts: int = ACCOUNTS, begin: int = 0) -> Iterator[tuple[str, NewEvent]]:
    """Make events number *begin* to *end* on so many *accounts*, the same ones every time."""
    chance = random.Random(7 + begin)
    for number in range(begin, end):
        account = f"account-{chance.randrange(accounts):06}"
        moved = MoneyMoved(account, chance.randrange(-50_000, 50_000), f"booking-{number}")
        yield account, NewEvent(moved, id=UUID(int=number + 1))


app = Projections(balances, ledger, journal, declared, detailed)
