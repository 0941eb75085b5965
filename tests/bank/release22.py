"""The bank completes its sales with the rate of their time, all of it from events; a rate of 13 is refused by the join."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from eventstore.event import event
from projections import Projection, Projections
from tests.bank.events import AccountClosed

START = datetime(2026, 1, 1, tzinfo=UTC)


@event("rate-set", version=1)
class RateSet:
    """What a currency is worth from a minute on; below zero = there never was such a rate."""

    account: str
    currency: str
    minute: int
    cents: int


@event("thing-sold", version=1)
class ThingSold:
    account: str
    currency: str | None
    minute: int
    count: int


@dataclass(slots=True)
class Rate:
    currency: str
    since: datetime
    cents: int


@dataclass(slots=True)
class Sale:
    account: str
    currency: str | None
    at: datetime
    count: int
    worth: int | None = None


projection = Projection("bank", version=22)
rates = projection.table(Rate, key=["currency", "since"])
sales = projection.table(Sale, key="account")


def after(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


@rates.on(RateSet, key=lambda event: (event.currency, after(event.minute)))
def remember(event: RateSet, row: Rate | None) -> Rate | None:
    return None if event.cents < 0 else Rate(event.currency, after(event.minute), event.cents)


@sales.on(ThingSold)
def sell(event: ThingSold, row: Sale | None) -> Sale:
    return Sale(event.account, event.currency, after(event.minute), event.count + (row.count if row else 0))


@sales.on(AccountClosed)
def close(event: AccountClosed, row: Sale | None) -> None:
    return None


@sales.join(rates, on="currency", at="at", sets="worth")
def price(sale: Sale, rate: Rate | None) -> int | None:
    if rate is not None and rate.cents == 13:
        raise ValueError("no rate is 13")
    return None if rate is None else rate.cents * sale.count


app = Projections(projection)
