"""The bank's sales are worth twice as much from here on."""

from projections import Projection, Projections
from tests.bank.events import AccountClosed
from tests.bank.release22 import Rate, RateSet, Sale, ThingSold, after, close, remember, sell

projection = Projection("bank", version=23)
rates = projection.table(Rate, key=["currency", "since"])
sales = projection.table(Sale, key="account")
rates.on(RateSet, key=lambda event: (event.currency, after(event.minute)))(remember)
sales.on(ThingSold)(sell)
sales.on(AccountClosed)(close)


@sales.join(rates, on="currency", at="at", sets="worth")
def price(sale: Sale, rate: Rate | None) -> int | None:
    return None if rate is None else 2 * rate.cents * sale.count


app = Projections(projection)
