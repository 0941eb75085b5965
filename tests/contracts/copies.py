"""A table of every type, and copies of it in whichever sink a test asks for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from projections import Projection
from projections.copies.contract import Address, Changes, Copy, Fence
from projections.copies.form import Form
from projections.copies.make import make_copy
from projections.declaration.sink import Postgres, Search, Sink, Valkey
from projections.settings import SinkSettings

BORN = datetime(2026, 1, 1, tzinfo=UTC)
FIRST, SECOND = ("t.events", 0), ("t.events", 1)


@dataclass(slots=True)
class Thing:
    """A row with a column of each type, and two columns in its key."""

    shop: str
    number: int
    name: str = ""
    price: Decimal | None = None
    weight: float | None = None
    sold: bool = False
    made: date | None = None
    at: time | None = None
    since: datetime | None = None
    lasts: timedelta | None = None
    code: UUID | None = None
    raw: bytes | None = None
    parts: list[str] | None = None
    more: dict[str, Any] | None = None


things = Projection("things")
thing = things.table(Thing, key=("shop", "number"))
SINKS: dict[str, Sink[Thing, Any]] = {
    "valkey": thing.into(Valkey(ranked=["price", "number"])),
    "search": thing.into(Search(text=["name", "parts"], exact=["shop", "number", "price", "sold", "made", "since"])),
    "postgres": thing.into(Postgres()),
}
shops = Projection("things")
shelf = shops.table(Thing, key=("shop", "number"), name="thing", tenant="shop")
TENANTS: dict[str, Sink[Thing, Any]] = {
    "valkey": shelf.into(Valkey(ranked=["price", "number"])),
    "search": shelf.into(Search(text=["name", "parts"], exact=["shop", "number", "price", "sold", "made", "since"])),
    "postgres": shelf.into(Postgres()),
}
"""The same places for a table whose rows belong to shops, its tenants."""
RICH = Thing(
    "a/b c", -7, 'Grüße, "kettle" \\ {x}', Decimal("12.50"), 0.1, sold=True, made=date(2026, 2, 3), at=time(4, 5, 6, 7),
    since=datetime(2026, 2, 3, 4, 5, 6, 7, UTC), lasts=timedelta(days=3, microseconds=1), code=UUID(int=7), raw=b"\0\xff",
    parts=["blue", "kettles"], more={"b": [1, None], "a": {"x": 1.5}},
)  # fmt: skip


def some(count: int, name: str = "thing", start: int = 0) -> list[Thing]:
    """Make *count* rows."""
    return [replace(RICH, shop="shop", number=each, name=f"{name} {each}") for each in range(start, start + count)]


def batch(
    *rows: Thing, gone: tuple[Any, ...] = (), epoch: int = 1, move: tuple[int, int] = (0, 1), owned: bool = True
) -> Changes:
    """Make a batch of the first partition that takes the offset from and to *move*."""
    return Changes([Fence(FIRST, epoch, *move)], rows, gone, owned)


class Sinks:
    """Copies in one sink, by number and birth of their generation."""

    def __init__(self, kind: str, settings: SinkSettings, *, tenants: bool = False) -> None:
        self.kind = kind
        self.settings = settings
        self.sink = (TENANTS if tenants else SINKS)[kind]

    @asynccontextmanager
    async def copy(self, number: int = 1, born: datetime = BORN, *, declared: bool = True) -> AsyncIterator[Copy]:
        """Open a copy, as each process does for itself."""
        copy = make_copy(self.kind, Address("things", number, born, "thing"), self.sink if declared else None, self.settings)
        try:
            yield copy
        finally:
            await copy.close()

    @asynccontextmanager
    async def filled(self, *rows: Thing, number: int = 1) -> AsyncIterator[Copy]:
        """Open a copy that holds *rows*, its first partition claimed with epoch 1 at offset 0."""
        async with self.copy(number) as copy:
            await copy.claim({FIRST: 1, SECOND: 1})
            ticket = await copy.begin()
            await copy.put(ticket, rows)
            await copy.finish(ticket, {FIRST: 0, SECOND: 0})
            yield copy


async def read(copy: Copy) -> dict[int, Thing]:
    """Give the rows of *copy* by number."""
    return {each.number: each async for each in copy.rows()}


def normal(row: Thing) -> dict[str, str]:
    """Give *row* as it is compared."""
    return Form(thing).texts(row)
