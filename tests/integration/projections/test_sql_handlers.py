"""Handlers that write by SQL, and handlers of spans, on real servers: live, rebuilt, parked, fenced, and kept to their tables."""

import asyncio
import os

import pytest

from eventstore.moments import CRASHED
from tests.bank.release6 import MISDEED, app
from tests.bank.runs import ended
from tests.stack.waiting import eventually

pytestmark = pytest.mark.usefixtures("kind_mood")


@pytest.fixture
def kind_mood(monkeypatch):
    monkeypatch.setenv(MISDEED, "SELECT 1")


def expect(events, skipped=()):
    """Give balances, journal and totals of *events* but those whose (stream, version) is skipped."""
    balances, journal, totals = {}, {}, {}
    for each in events:
        if (each.stream, each.version) in skipped:
            continue
        if each.type == "account-closed":
            balances.pop(each.stream, None)
        if each.type != "money-moved":
            continue
        amount = each.data["amount"]
        cents, moves = balances.get(each.stream, (0, 0))
        balances[each.stream] = cents + amount, moves + 1
        journal[each.stream, each.version] = amount
        cents, versions = totals.get(each.stream, (0, ""))
        totals[each.stream] = cents + amount, f"{versions} {each.version}"
    return balances, journal, totals


async def found(runs):
    """Give what the live generation holds, in the same form."""
    live = await runs.live()
    balances = await runs.query(f"SELECT * FROM {live.schema_name}.balance")
    journal = await runs.query(f"SELECT * FROM {live.schema_name}.line")
    totals = await runs.query(f"SELECT * FROM {live.schema_name}.total")
    return (
        {row["account"]: (row["cents"], row["moves"]) for row in balances},
        {(row["stream"], row["version"]): row["amount"] for row in journal},
        {row["stream"]: (row["cents"], row["versions"]) for row in totals},
    )


async def test_live_and_rebuilt(runs, log, ledger, monkeypatch):
    """Live workers, a rebuild in small commits, and one in several processes give every event's SQL and spans once."""
    await log.write(ledger.some(150))
    await runs.serve(app)
    assert await found(runs) == expect(ledger.events)
    monkeypatch.setenv("REFOLD_REPLAY_COMMIT_ROWS", "30")
    await log.write(ledger.some(100))
    done = await runs.rebuild(release=6)
    assert done.code == 0, done.err
    assert await found(runs) == expect(ledger.events)
    apart = await runs.rebuild("--processes", "2", release=6)
    assert apart.code == 0, apart.err
    assert apart.facts["verification"]["equal"]
    assert await found(runs) == expect(ledger.events)


@pytest.mark.parametrize("kind", ["refused", "unfit"])
async def test_parked_whole(runs, log, ledger, kind):
    """A record that a statement or a fold refuses leaves nothing in any table; its key waits, others go on; a rebuild parks the same."""
    await log.write([ledger.move("a", 1), ledger.move("b", 2)])
    await runs.serve(app)
    await log.write([ledger.move("a", 4, kind=kind), ledger.move("a", 8), ledger.move("b", 16), ledger.move("c", 32)])
    expected = expect(ledger.events, {("a", 2), ("a", 3)})
    async with runs.worker(app):
        await runs.current()
        assert await found(runs) == expected
    assert [each["key"] for each in await runs.parked()] == ["a", "a"]
    done = await runs.rebuild("--accept-parked", release=6)
    assert done.code == 0, done.err
    assert await found(runs) == expected


async def test_retried(runs, log, ledger, monkeypatch):
    """What a statement refused for a while is applied once it passes, in the order of its key."""
    await log.write([ledger.move("a", 1)])
    await runs.serve(app)
    monkeypatch.setenv(MISDEED, "SELECT 1/0")
    await log.write([ledger.move("a", 2, kind="misdeed"), ledger.move("a", 4)])
    async with runs.worker(app):
        await runs.current()
        assert await found(runs) == expect(ledger.events, {("a", 2), ("a", 3)})
        os.environ[MISDEED] = "SELECT 1"

        async def mended():
            return await found(runs) == expect(ledger.events)

        await eventually(mended, "the parked records applied")


REFUSED = {
    "COMMIT": "no statement of an SQL handler",
    "TRUNCATE balance": "no statement of an SQL handler",
    "SELECT now()": "gives another value at every replay",
    "SELECT 1; DELETE FROM balance": "one statement at a time",
    "UPDATE projections.checkpoint SET next_offset = 0": "refold's own",
    "INSERT INTO public.mine VALUES (1)": "touched public.mine (RowExclusiveLock)",
    "SELECT * FROM public.mine": "touched public.mine (AccessShareLock)",
    "DELETE FROM total": "touched rm_bank_g1.total (RowExclusiveLock)",
    "DELETE FROM rm_bank_g1.total": "touched rm_bank_g1.total (RowExclusiveLock)",
}


async def test_kept_to_its_tables(runs, log, ledger):
    """A statement that ends the transaction, asks a clock, or reaches any other table is undone, and its record is parked."""
    await runs.query("CREATE TABLE public.mine (a int)")
    misdeeds = [ledger.move(f"account-{number}", kind=f"sql:{each}") for number, each in enumerate(REFUSED)]
    await log.write([*misdeeds, ledger.move("b", 4)])
    await runs.serve(app)
    reasons = {each["key"]: each["reason"] for each in await runs.parked()}
    assert [said for each, said in zip(misdeeds, REFUSED.values(), strict=True) if said not in reasons[each.stream]] == []
    assert await found(runs) == expect(ledger.events, {(each.stream, 1) for each in misdeeds})
    assert await runs.query("SELECT * FROM public.mine") == []


async def test_killed(runs, log, ledger):
    """A worker that is killed before its commit has run each statement once when the next one goes on."""
    await log.write(ledger.some(60))
    worker = runs.child("projections", "run", release=6, REFOLD_FAIL_AT="batch.before_commit")
    async with ended(worker):
        said = (await asyncio.to_thread(worker.communicate))[0]
        assert worker.returncode == CRASHED, said
    await runs.evict()
    await runs.serve(app)
    assert await found(runs) == expect(ledger.events)
