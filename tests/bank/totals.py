"""Declared aggregates over the bank's events."""

from projections import Projection, Projections
from projections.declaration.aggregate import Count, Distinct, Last, Max, Min, Sum
from tests.bank.events import AccountClosed, MoneyMoved

totals = Projection("totals")
by_kind = totals.aggregate(
    MoneyMoved,
    by="kind",
    name="by_kind",
    moves=Count(),
    total=Sum("amount"),
    least=Min("amount"),
    most=Max("amount"),
    last=Last("account"),
    accounts=Distinct("account"),
)
by_stream = totals.aggregate(MoneyMoved, AccountClosed, name="by_stream", events=Count(), accounts=Distinct("account"))
app = Projections(totals)
