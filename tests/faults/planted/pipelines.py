"""Wrong pipelines, and the runs by hand that show them: records go in one by one, on a real database."""

from contextlib import suppress

from eventstore.errors import Fenced
from projections.control.checkpoint import Claim
from projections.feeding.pipeline import Pipeline
from projections.fold.fold import Folder
from tests.bank.records import TOPICS
from tests.bank.release1 import bank
from tests.faults.history import kinds
from tests.faults.planted.place import PARTITIONS, Place


class Crash(Exception):
    """The process ends here."""


class Unfenced(Pipeline):
    """The checkpoint is moved whoever owns it now."""

    async def _apply(self, batch, seen, *, carefully):
        self._read(batch, seen)
        for each in list(self._moves):
            [(offset, epoch)] = await self._query(each)
            self.held[each] = Claim(offset, epoch)
        self._moves.clear()
        self._failures.clear()
        await super()._apply(batch, seen, carefully=carefully)

    async def _query(self, partition):
        statement = (
            "SELECT next_offset, epoch FROM projections.checkpoint WHERE generation = %s AND topic = %s AND partition = %s"
        )
        return await (await self._connection.execute(statement, (self.generation.id, *partition))).fetchall()


class OffsetsFirst(Pipeline):
    """The offsets are committed before the rows."""

    async def _load(self, plans, *, carefully):
        await self._connection.execute("COMMIT")
        await self._connection.execute("BEGIN")
        await super()._load(plans, carefully=carefully)


class RowsFirst(Pipeline):
    """The rows are committed before the offsets, which a crash then loses."""

    async def _write(self):
        await super()._write()
        await self._connection.execute(
            "UPDATE projections.checkpoint c SET next_offset = old.next_offset FROM (SELECT * FROM unnest(%s::int[], %s::bigint[]) "
            "AS o(partition, next_offset)) AS old WHERE c.partition = old.partition AND c.generation = %s",
            ([each[1] for each in self.held], [held.next_offset for held in self.held.values()], self.generation.id),
        )
        await self._connection.execute("COMMIT")
        await self._connection.execute("BEGIN")


class Amnesiac(set):
    """A set that forgets."""

    def add(self, each):
        pass


class Unparked(Pipeline):
    """Later records of a parked key are applied as if nothing had happened."""

    def _read(self, batch, seen):
        self.folder.parked = Amnesiac()
        return super()._read(batch, seen)


class Shallow(Folder):
    """A careful fold works on the rows themselves, so a failing handler leaves half of its work."""

    def _try_record(self, steps):
        made = {}
        for _, sheet, function, key, body, detail in steps:
            row = made.get((sheet, key), sheet.rows.get(key))
            made[sheet, key] = function(body, row, detail) if detail is not None else function(body, row)
        return made


class Careless(Pipeline):
    """See `Shallow`."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.folder = Shallow(bank.projection, TOPICS, complete=False)


class Hoarding(Pipeline):
    """Rows that other partitions' owners touch too are kept in memory between batches."""

    async def apply(self, batch, seen):
        self.folder.evict = lambda _: None
        await super().apply(batch, seen)


async def sleep_through_takeover(place: Place) -> set[str]:
    """A worker holds a batch in its hands while another takes over and applies it; then it goes on."""
    place.ledger.some(60)
    async with place.hands() as hands:
        zombie = await hands.join(place.pipeline)
        await hands.feed(await hands.join(Pipeline))
        with suppress(Fenced):
            await hands.feed(zombie)
        return kinds(await hands.history())


async def crash_while_writing(place: Place) -> set[str]:
    """The process ends before (or after) its rows are written; the next worker goes on from the checkpoint."""
    place.ledger.some(100)
    crashing = type("Crashing", (place.pipeline,), {"_write": _crash if place.pipeline is not RowsFirst else _write_and_crash})
    async with place.hands() as hands:
        with suppress(Crash):
            await hands.feed(await hands.join(crashing), 20)
        await hands.feed(await hands.join(Pipeline))
        return kinds(await hands.history())


async def _crash(self):
    raise Crash


async def _write_and_crash(self):
    await RowsFirst._write(self)
    raise Crash


async def meet_poison(place: Place) -> set[str]:
    """Streams with a poisonous record in their midst."""
    for _ in range(3):
        place.ledger.some(20, accounts=4)
        place.ledger.move("account-1")
        place.ledger.move("account-1", kind="poison")
    async with place.hands() as hands:
        pipeline = await hands.join(place.pipeline)
        for _ in range(10):
            await hands.feed(pipeline, 9)
        return kinds(await hands.history())


async def share_rows(place: Place) -> set[str]:
    """Two workers touch the same rows in turn."""
    place.ledger.some(200)
    async with place.hands() as hands:
        workers = [await hands.join(place.pipeline, [each]) for each in range(PARTITIONS)]
        for _ in range(12):
            for each in workers:
                await hands.feed(each, 15)
        return kinds(await hands.history())
