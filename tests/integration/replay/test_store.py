"""A log whose beginning is gone: old events from the store, the rest from Kafka, meeting at an exact place."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from eventstore.log.bounds import find_bounds
from eventstore.moments import CRASHED
from eventstore.postgres import PostgresEventStore
from eventstore.relay.relay import Relay
from tests.bank.events import AccountClosed, AccountNoted, MoneyMoved
from tests.bank.log import Ledger
from tests.bank.oracle import expect
from tests.bank.release1 import app
from tests.bank.runs import ended
from tests.integration.replay.test_refusals import truncate

KINDS = {"money-moved": MoneyMoved, "account-closed": AccountClosed, "account-noted": AccountNoted}
ARGV = ("--projection", "bank", "--from-store")


async def record(engine, ledger, count):
    """Append *count* of the ledger's events to the store."""
    async with PostgresEventStore.open(engine=engine) as store:
        for each in ledger.some(count, accounts=12):
            await store.append(each.stream, [KINDS[each.type](**each.data)])


@asynccontextmanager
async def relaying(runs):
    stopping = asyncio.Event()
    task = asyncio.create_task(Relay(runs.engine, runs.kafka).run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await task


async def publish(runs):
    """Let the relay publish all that is stored, and the live generation apply it."""
    async with relaying(runs), runs.worker(app):
        [stored] = await runs.query("SELECT count(*) AS events FROM eventstore.event WHERE type <> 'account-noted'")
        await asyncio.wait_for(applied(runs, stored["events"]), 60)


async def applied(runs, count):
    while True:
        if await runs.live() is not None:
            rows = await runs.rows()
            if sum(len(each["versions"]) for each in rows["trail"].values()) == count:
                return
        await asyncio.sleep(0.05)


async def shorten(runs, share):
    """Delete the first *share* of each partition."""
    wanted = [(runs.kafka.events_topic, each) for each in range(4)]
    _, end = await find_bounds(runs.kafka, wanted)
    for (_, number), offset in end.items():
        await truncate(runs.kafka, number, int(offset * share))


@pytest.mark.parametrize("share", [0.5, 1.0])
async def test_bootstraps(runs, engine, log, share):
    """A rebuild of a shortened or emptied log gives the live rows, at the live vector, and goes on from the log (F26)."""
    ledger = Ledger()
    await record(engine, ledger, 80)
    await publish(runs)
    await shorten(runs, share)
    refused = await runs.rebuild()
    assert (refused.code, "--from-store" in refused.error["message"]) == (3, True)
    done = await runs.replay(*ARGV)
    assert done.code == 0, done.err
    assert done.facts["verification"]["equal"] is True
    await runs.judge(ledger.events)
    if share < 1:  # a relay finds its place by the last event of the log, and needs one
        await record(engine, ledger, 20)
        await publish(runs)
        await runs.judge(ledger.events)


async def test_resumes(runs, engine, log):
    """A bootstrap that was killed between two commits goes on behind the last one, though the log was shortened further meanwhile."""
    ledger = Ledger()
    await record(engine, ledger, 80)
    await publish(runs)
    await shorten(runs, 0.4)
    environment = {"REFOLD_REPLAY_COMMIT_ROWS": "5", "REFOLD_FAIL_AT": "replay.building"}
    crash = runs.child("replay", *ARGV, **environment)
    async with ended(crash):
        said = (await asyncio.to_thread(crash.communicate))[0]
        assert crash.returncode == CRASHED, said
    done = await runs.replay(*ARGV)
    assert (done.code, done.facts["generation"]) == (0, 2), done.err
    assert done.facts["verification"]["equal"] is True
    assert await runs.rows() == expect(ledger.events)
