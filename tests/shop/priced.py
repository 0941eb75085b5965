"""What was sold, at the price that the table of goods had when it was: an event joined with a captured table, and that one with itself."""

from dataclasses import dataclass
from datetime import datetime

from cdc import CapturedTable, Change
from eventstore import Envelope, event
from projections import Projection, Projections

GOODS = CapturedTable("operations", "public.good", full=True)


@event("good-sold", version=1)
@dataclass(frozen=True, slots=True)
class GoodSold:
    good: int
    count: int


@dataclass(slots=True)
class Price:
    good: int
    since: datetime
    cents: int | None


@dataclass(slots=True)
class Sale:
    id: str
    good: int
    count: int
    at: datetime
    cents: int | None = None


@dataclass(slots=True)
class Label:
    good: int
    kind: str
    at: datetime
    cents: int | None = None


priced = Projection("priced-sales")
prices = priced.table(Price, key=["good", "since"])
sales = priced.table(Sale, key="id")
labels = priced.table(Label, key="good")


@prices.on_change(GOODS, key=lambda change: (change.key[0], change.source.committed_at))
def remember(change: Change, row: Price | None) -> Price:
    return Price(change.key[0], change.source.committed_at, None if change.after is None else change.after["price"])


@sales.on(GoodSold)
def sell(sold: GoodSold, row: Sale | None, envelope: Envelope[GoodSold]) -> Sale:
    return Sale(envelope.stream, sold.good, sold.count, envelope.recorded_at)


@sales.join(prices, on="good", at="at", sets="cents")
def price(sale: Sale, then: Price | None) -> int | None:
    return None if then is None or then.cents is None else then.cents * sale.count


@labels.on_change(GOODS)
def label(change: Change, row: Label | None) -> Label | None:
    return None if change.after is None else Label(change.key[0], change.after["kind"], change.source.committed_at)


@labels.join(prices, on="good", at="at", sets="cents")
def tag(label: Label, then: Price | None) -> int | None:
    return None if then is None else then.cents


app = Projections(priced)
