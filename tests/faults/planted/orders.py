"""Wrong designs of an ordered reader of the store, and seeded schedules that show them."""

from collections.abc import Callable
from typing import Any

from eventstore import NewEvent, RawEvent
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.statements import load
from tests.faults.checker import examine
from tests.faults.history import History, kinds
from tests.faults.operations import Operation
from tests.faults.planted.place import Place
from tests.faults.schedule import Connection, Reader, Row, Schedule, without_guard

ALL = "SELECT stream, version, event_id::text, position, xid::text::bigint FROM eventstore.event "
SEEDS = range(1, 13)


class Ordered(Reader):
    """The product's own statement, with a checkpoint of (xid, position)."""

    after: tuple[int, int] = (0, 0)

    def begin(self, xid: int, position: int) -> None:
        self.after = (xid, position)

    async def poll(self) -> list[Row]:
        rows = await self.fetch(load("eventstore.postgres", "read_all"), str(self.after[0]), self.after[1], self.page)
        if rows:
            self.after = rows[-1][2:4]
        return [(row[0], row[1], str(row[4])) for row in rows]


class BySequence(Reader):
    """The checkpoint is the highest sequence number that was seen."""

    after = 0

    def begin(self, xid: int, position: int) -> None:
        self.after = position

    async def poll(self) -> list[Row]:
        rows = await self.fetch(ALL + "WHERE position > %s ORDER BY position LIMIT %s", self.after, self.page)
        if rows:
            self.after = rows[-1][3]
        return [row[:3] for row in rows]


class SkipsGaps(Reader):
    """Waits at a gap in the sequence, and after a second look (its timer) takes it for a rollback."""

    after, looks = 0, 0

    def begin(self, xid: int, position: int) -> None:
        self.after = position

    async def poll(self) -> list[Row]:
        rows = await self.fetch(ALL + "WHERE position > %s ORDER BY position LIMIT %s", self.after, self.page)
        taken: list[Any] = []
        for row in rows:
            if row[3] != self.after + 1:
                self.looks += 1
                if self.looks < 2:
                    break
            self.after, self.looks = row[3], 0
            taken.append(row[:3])
        return taken


class LooksTwice(Reader):
    """The events come from one statement and the horizon from the next, so from a later snapshot."""

    after: tuple[int, int] = (0, 0)
    read: list[Any] | None = None

    def begin(self, xid: int, position: int) -> None:
        self.after = (xid, position)

    async def poll(self) -> list[Row]:
        if self.read is None:
            query = ALL + "WHERE (xid, position) > (%s::text::xid8, %s) ORDER BY xid, position LIMIT %s"
            self.read = await self.fetch(query, str(self.after[0]), self.after[1], self.page)
            return []
        [(horizon,)] = await self.fetch("SELECT eventstore.horizon_v1()::text::bigint")
        rows, self.read = [row for row in self.read if row[4] < horizon], None
        if rows:
            self.after = (rows[-1][4], rows[-1][3])
        return [row[:3] for row in rows]


def design(kind: type[Reader], page: int) -> Callable[[Connection], Reader]:
    """Give a maker of readers of *kind* that take *page* events at a time."""

    def make(connection: Connection) -> Reader:
        return kind(f"{kind.__name__}-{page}", connection, page)

    return make


def kinds_by_reader(told: list[Operation]) -> dict[str, set[str]]:
    """Give what the checker finds, by the reader it concerns."""
    found: dict[str, set[str]] = {each.projection: set() for each in told if each.f == "caught_up" and each.projection}
    for each in examine(told).violations:
        name = each.where.split(" ")[0]
        if name in found:
            found[name].add(each.kind)
    return found


async def follow_writers(place: Place) -> set[str]:
    """Readers follow writers whose transactions overlap, until one seed shows something; ours four of them."""
    reader: type[Reader] = place.options.get("reader", Ordered)
    async with place.store() as store:
        return await _try_seeds(store, reader, SEEDS[:4] if reader is Ordered else SEEDS)


async def follow_early_starters(place: Place) -> set[str]:
    """Our reader follows writers some of whom take their transaction's id long before they append."""
    async with place.store() as store:
        if not place.options.get("unguarded"):
            return await _try_seeds(store, Ordered, SEEDS[:4])
        async with without_guard(store):
            return await _try_seeds(store, Ordered, SEEDS)


async def _try_seeds(store: PostgresEventStore, reader: type[Reader], seeds: range) -> set[str]:
    for seed in seeds:
        told = await Schedule(store, seed).run(4, [*(design(Ordered, page) for page in (1, 3, 10)), design(reader, 1000)])
        if found := kinds_by_reader(told)[f"{reader.__name__}-1000"]:
            return found
    return set()


async def repeat_append(place: Place) -> set[str]:
    """An append whose answer was lost is repeated with the ids that it had."""
    event = NewEvent(RawEvent("x", {}))
    async with place.store() as store:
        first = await store.append("s", [event])
        if place.options.get("new ids"):
            event = NewEvent(RawEvent("x", {}))
        again = await store.append("s", [event])
        stored = [each.version async for each in store.read_stream("s", decoded=False)]
    assert place.options or again == first
    return kinds(History({"s": [1]}, {"s": stored}))
