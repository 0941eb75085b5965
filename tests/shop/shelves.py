"""Read models of two captured tables that have nothing to do with each other: goods and how many there are of a kind; and prices."""

from cdc import Change
from projections import Projection, Projections
from tests.shop.goods import GOODS, Good, Kind, keep, sum_up
from tests.shop.tally import PRICES, Price, priced

shelves = Projection("shelves")
good = shelves.table(Good, key="id")
kind = shelves.table(Kind, key="kind")
price = shelves.table(Price, key="item")


@kind.on_change(GOODS, key=lambda change: (change.after or change.before)["kind"])
def count(change: Change, row: Kind | None) -> Kind | None:
    return sum_up(change, row)


good.on_change(GOODS)(keep)
price.on_change(PRICES)(priced)

app = Projections(shelves)
