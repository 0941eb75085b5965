"""Several projections in one read pass: each with its own checkpoint and fate."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from eventstore.log.events import EventSource
from eventstore.postgres.engine import checkout
from projections import Projection, Projections
from projections.control.catalogue import find_live
from projections.control.checkpoint import has_reached, read_seen
from projections.feeding.coach import Coach, Seat
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.bank.events import AccountNoted, MoneyMoved
from tests.bank.oracle import expect
from tests.bank.release1 import bank
from tests.stack.waiting import eventually

SHARED = ProjectionSettings(look_s=0.05, poll_s=0.05, shared=True)


@dataclass(slots=True)
class Count:
    stream: str
    events: int = 0


def make_count(name, kind):
    projection = Projection(name)
    count = projection.table(Count, key="stream")

    @count.on(kind)
    def counted(event, row, envelope):
        return Count(envelope.stream, (row.events if row else 0) + 1)

    return projection


@pytest.fixture
def app():
    return Projections(bank.projection, make_count("moves", MoneyMoved), make_count("notes", AccountNoted))


@asynccontextmanager
async def serving(runs, app):
    """Feed all of *app* in one pass in this process."""
    supervisor = Supervisor(app, runs.engine, kafka=runs.kafka, settings=SHARED)
    stopping = asyncio.Event()
    task = asyncio.create_task(supervisor.run(stopping))
    try:
        yield supervisor
    finally:
        stopping.set()
        await task


async def current(runs, names):
    """Return once the live generations of *names* have read all that was written before."""
    ends = await runs.ends()

    async def there():
        async with checkout(runs.engine) as connection:
            live = [await find_live(connection, each) for each in names]
            return all([each and has_reached(await read_seen(connection, each.id), ends) for each in live])

    await eventually(there, f"{names} at the end of the log", 60)


async def counts(runs, name):
    return {row["stream"]: row["events"] for row in await runs.query(f"SELECT * FROM rm_{name}_g1.count")}


def expect_counts(ledger, kind):
    streams = [each.stream for each in ledger.events if each.type == kind]
    return {each: streams.count(each) for each in streams}


async def test_each_is_right(runs, log, ledger, app, monkeypatch):
    """Through a second process that comes and goes every projection applies each event once, and a record is decoded once for all."""
    read = []
    real = EventSource.reader

    def counting(self, wanted, opener=None, *, whole=True):
        inner = real(self, wanted, opener, whole=whole)
        return lambda record: (read.append((record.partition, record.offset)), inner(record))[1]

    monkeypatch.setattr(EventSource, "reader", counting)
    names = [each.name for each in app]
    await log.write(ledger.some(200))
    async with serving(runs, app):
        await current(runs, names)
        assert len(read) == len(set(read)) == 200
        async with serving(runs, app):
            await log.write(ledger.some(200))
            await current(runs, names)
        await log.write(ledger.some(100))
        await current(runs, names)
    assert await runs.rows() == expect(ledger.events)
    assert await counts(runs, "moves") == expect_counts(ledger, "money-moved")
    assert await counts(runs, "notes") == expect_counts(ledger, "account-noted")


async def test_one_fails(runs, log, ledger, app):
    """A projection whose tables are gone stops nobody else; when they are back it goes on where it stood."""
    await log.write(ledger.some(50))
    async with serving(runs, app):
        await current(runs, [each.name for each in app])
        await runs.query("ALTER SCHEMA rm_moves_g1 RENAME TO away")
        await log.write(ledger.some(100))
        await current(runs, ["bank", "notes"])
        assert await runs.rows() == expect(ledger.events)
        await runs.query("ALTER SCHEMA away RENAME TO rm_moves_g1")
        await current(runs, ["moves"])
    assert await counts(runs, "moves") == expect_counts(ledger, "money-moved")


async def test_two_releases(runs, log, ledger, monkeypatch):
    """Two releases that feed one generation, each in its own pass, don't take it from each other again and again; who is left goes on."""
    monkeypatch.setattr("projections.feeding.coach.AGAIN_S", 0.05)
    older = Projections(bank.projection, make_count("moves", MoneyMoved))
    newer = Projections(bank.projection, make_count("notes", AccountNoted))
    await log.write(ledger.some(20))

    def fences(*supervisors):
        return sum(worker.fenced for each in supervisors for worker in each.workers if worker.projection is bank.projection)

    async with serving(runs, older) as one:
        await runs.current(60)
        async with serving(runs, newer) as two:
            for _ in range(15):
                await log.write(ledger.some(10))
                await runs.current(60)
            assert await eventually(lambda: _is_open(one, two), "each says that it is well", 60)
            assert fences(one, two) < 10, "a claim of each, and some rebalances; without yielding, one every moment"
            assert await runs.rows() == expect(ledger.events)
        await log.write(ledger.some(10))
        await runs.current(60)
    assert await runs.rows() == expect(ledger.events)


async def _is_open(*supervisors):
    return all(worker.pulse.is_open for each in supervisors for worker in each.workers)


async def test_claims_late(kafka, log):
    """Who takes a seat while the others claim is asked too: when all of those fail, the pass does not wait for an answer of nobody's."""
    asked, failing = asyncio.Event(), asyncio.Event()

    async def fail(_):
        asked.set()
        await failing.wait()
        raise ConnectionError

    async def take(partitions):
        return dict.fromkeys(partitions, 0)

    coach = Coach(kafka, SHARED, [log.settings.events_topic], f"{kafka.topic_prefix}.pass")
    first, second = Seat(coach, fail), Seat(coach, take)

    async def sit():
        await first.open()
        try:
            while True:
                await first.poll(0.05, 100)
        finally:
            await first.close()

    async def opens():
        await second.poll(0.05, 100)
        return second.is_open

    sitting = asyncio.create_task(sit())
    try:
        await asyncio.wait([sitting, waiting := asyncio.create_task(asked.wait())], return_when=asyncio.FIRST_COMPLETED)
        assert waiting.done()
        await second.open()
        failing.set()
        with pytest.raises(ConnectionError):
            await sitting
        await eventually(opens, "the second one has its claim")
    finally:
        sitting.cancel()
        await asyncio.gather(sitting, waiting, return_exceptions=True)
        await second.close()
