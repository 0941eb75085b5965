"""Read models of a table of goods: the rows as they are, how many there are of each kind, and what handlers heard of them."""

from dataclasses import dataclass

from cdc import CapturedTable, Change
from projections import Projection, Projections

SCHEMA = "CREATE TABLE good (id integer PRIMARY KEY, kind text NOT NULL, price integer NOT NULL)"
GOODS = CapturedTable("operations", "public.good", full=True)

goods = Projection("goods")


@dataclass(slots=True)
class Good:
    id: int
    kind: str
    price: int


@dataclass(slots=True)
class Kind:
    kind: str
    goods: int = 0
    worth: int = 0


good = goods.table(Good, key="id")
kind = goods.table(Kind, key="kind")


@good.on_change(GOODS)
def keep(change: Change, row: Good | None) -> Good | None:
    return None if change.after is None else Good(**change.after)


@kind.on_change(GOODS, key=lambda change: (change.after or change.before)["kind"])
def sum_up(change: Change, row: Kind | None) -> Kind | None:
    row = row or Kind((change.after or change.before)["kind"])
    row.goods += (change.after is not None) - (change.before is not None)
    row.worth += (change.after or {}).get("price", 0) - (change.before or {}).get("price", 0)
    return row if row.goods else None


app = Projections(goods)
