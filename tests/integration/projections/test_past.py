"""Events joined with a captured table as it was when they were recorded, whatever came first into the read model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
import sqlalchemy as sa

from cdc import CapturedTable, Change
from cdc.change import Origin
from eventstore.errors import UsageError
from eventstore.source import Message
from projections import Projection
from projections.fold.fold import Folder
from projections.serving import as_of
from tests.properties.projections.test_order import Rec

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Table(CapturedTable):
    """A captured table whose records need no decoding."""

    def reader(self, wanted):
        return lambda record: Message(self.table, record.value, record.value.key, None)


RATES, SALES = Table("shop", "public.rate"), Table("shop", "public.sale")
projection = Projection("sales")


@dataclass(slots=True)
class Rate:
    currency: str
    since: datetime
    cents: int | None


@dataclass(slots=True)
class Sale:
    id: int
    currency: str
    at: datetime


rates = projection.table(Rate, key=["currency", "since"])
sales = projection.table(Sale, key="id")


@rates.on_change(RATES, key=lambda change: (change.key[0], change.source.committed_at))
def remember(change: Change, row: Rate | None) -> Rate:
    return Rate(change.key[0], change.source.committed_at, change.after and change.after["cents"])


@sales.on_change(SALES)
def sell(change: Change, row: Sale | None) -> Sale:
    return Sale(change.key[0], change.after["currency"], change.source.committed_at)


def change(table, op, key, after, minute):
    """Make a change that was committed *minute* minutes after the start."""
    at = START + timedelta(minutes=minute)
    origin = Origin({"ts_us": int(at.timestamp() * 1_000_000), "sequence": '["1","1"]'})
    return Change(op, table, (key,), None, after, origin, (minute, minute), ("id",))


RATED = [change("public.rate", "c", "EUR", {"cents": 110}, 1), change("public.rate", "u", "EUR", {"cents": 120}, 5)]
GONE = change("public.rate", "d", "EUR", None, 9)
SOLD = [change("public.sale", "c", number, {"currency": "EUR"}, minute) for number, minute in enumerate((0, 1, 4, 5, 10))]


async def test_joined_as_of_then(engine):
    """Each sale has the rate of its own time: none before the first, the one that began with it, none once it was gone."""
    pieces = [("rate", RATED), ("rate", [GONE]), ("sale", SOLD[:3]), ("sale", SOLD[3:])]
    ends = set()
    for order in permutations(range(4)):
        if order.index(0) > order.index(1) or order.index(2) > order.index(3):
            continue  # within a topic the order is given
        folder = Folder(projection, {RATES.name: "rate", SALES.name: "sale"}, complete=True)
        for topic, found in (pieces[each] for each in order):
            folder.run([Rec(topic, 0, number, 0, b"k", each) for number, each in enumerate(found)])
        rows = {name: sorted(folder.sheets[name].rows.values(), key=str) for name in ("rate", "sale")}
        ends.add(str(rows))
    assert len(ends) == 1
    then = as_of(rates, sales.table.c.at, sales.table.c.currency)
    query = (
        sa.select(sales.table.c.id, then.c.cents).select_from(sales.table.outerjoin(then, sa.true())).order_by(sales.table.c.id)
    )
    async with engine.begin() as connection:
        await connection.execute(sa.schema.CreateSchema("sales"))
        await connection.run_sync(projection.metadata.create_all)
        for table in (rates, sales):
            values = [dict(zip(table.columns, table.values(each), strict=True)) for each in rows[table.name]]
            await connection.execute(table.table.insert(), values)
        found = (await connection.execute(query)).fetchall()
    assert [tuple(each) for each in found] == [(0, None), (1, 110), (2, 110), (3, 120), (4, None)]


def test_needs_the_whole_key():
    """A key with parts missing is refused with the columns that it has."""
    with pytest.raises(UsageError, match="give 1 columns for currency"):
        as_of(rates, sales.table.c.at)
