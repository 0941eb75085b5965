"""Transactions of a build that stand in another's way: none does by itself, and one that is taken back is repeated."""

import asyncio

import psycopg
import pytest

from eventstore.errors import RefoldError
from eventstore.moments import CRASHED
from eventstore.postgres.engine import checkout
from projections.declaration.table import Table
from projections.feeding.worker import name_topics
from projections.fold.sheet import Sheet
from replay.construction.joint import Joint, needs_key
from tests.bank import owned
from tests.bank.read_model import Balance
from tests.bank.runs import ended
from tests.integration.replay.test_processes import built, expected, run

HURDLE = """
CREATE SEQUENCE public.hurdle;
CREATE FUNCTION public.stumble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {stumbles} THEN
        RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '{state}', DETAIL = 'Process 1 waits.', HINT = 'See server log.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER stumble BEFORE INSERT ON rm_bank_g1.balance EXECUTE FUNCTION public.stumble();
"""
COUNTED = "nextval('public.hurdle') <= "
LOCKS = "(SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND classid = 77 AND pid = pg_backend_pid())"
UNTOUCHED = f"(CASE WHEN {LOCKS} < 4 THEN pg_try_advisory_lock(77, {LOCKS}) ELSE false END)"
"""Four times, counted without a sequence, which SQL handlers may not touch."""


async def hurdle(runs, release=1, app=None, **chosen):
    """Let the first generation have its tables, and inserts into one of them fail as told."""
    environment = {"REFOLD_PROJECTIONS_APP": app} if app else {}
    child = runs.child(
        "replay",
        "--projection",
        "bank",
        "--from-beginning",
        release=release,
        REFOLD_FAIL_AT="replay.tables_created",
        **environment,
    )
    async with ended(child):
        said, _ = await asyncio.to_thread(child.communicate)
        assert child.returncode == CRASHED, said
    statement = HURDLE.format(**{"stumbles": f"{COUNTED} 3", "state": "40P01", **chosen})
    async with await psycopg.AsyncConnection.connect(runs.dsn, autocommit=True) as connection:
        await connection.execute(statement)


async def stumbled(runs):
    [found] = await runs.query("SELECT last_value FROM public.hurdle")
    return found["last_value"]


@pytest.mark.parametrize(("state", "processes"), [("40P01", "1"), ("40001", "2")])
async def test_repeats(runs, log, ledger, state, processes):
    """A transaction that PostgreSQL took back is repeated from the last commit, and the rows are the same."""
    await log.write(ledger.some(200))
    await hurdle(runs, app="tests.bank.owned:app", state=state)
    code, said = await run(runs, processes=processes, REFOLD_REPLAY_COMMIT_ROWS="10")
    assert code == 0, said
    assert await stumbled(runs) > 3
    assert await built(runs) == expected(ledger)


async def test_gives_up(runs, log, ledger):
    """Another process of the build for which it never passes ends the run, which tells the error and not only the hint behind it."""
    await log.write(ledger.some(100))
    await hurdle(runs, app="tests.bank.owned:app", stumbles=f"current_setting('application_name') LIKE '%part' AND {COUNTED} 99")
    code, said = await run(runs)
    assert code == RefoldError.exit_code
    assert "process 2 of 2" in said[-1]["message"]
    assert "DeadlockDetected: deadlock detected DETAIL: Process 1 waits. HINT: See server log." in said[-1]["message"]
    assert 10 <= await stumbled(runs) < 20


async def test_spares_records(runs, log, ledger):
    """A statement of an SQL handler that was taken back is no fault of its record: nothing is parked for it."""
    await log.write(ledger.some(50))
    await hurdle(runs, release=6, stumbles=UNTOUCHED, state="40001")
    done = await runs.rebuild(release=6)
    assert done.code == 0, done.err
    assert await runs.query("SELECT 1 FROM projections.parked") == []
    assert (await runs.query("SELECT min(epoch) AS epoch FROM projections.checkpoint"))[0]["epoch"] > 4, (
        "it was claimed again each time"
    )


async def test_claims_beside_reader(runs, log, ledger):
    """Processes of one build take their partitions over although somebody reads its tables, since none of them drops a key."""
    await log.write(ledger.some(20))
    await hurdle(runs, app="tests.bank.owned:app")
    [generation] = await runs.generations()
    topics = name_topics(owned.bank, runs.kafka)
    [topic] = generation.topics
    async with (
        await psycopg.AsyncConnection.connect(runs.dsn) as reader,
        checkout(runs.engine) as first,
        checkout(runs.engine) as second,
        asyncio.timeout(60),
    ):
        await reader.execute("LOCK TABLE rm_bank_g1.balance, rm_bank_g1.trail IN ACCESS SHARE MODE")
        joints = [Joint(owned.bank, generation, topics, each, exclusive=True) for each in (first, second)]
        await asyncio.gather(*(each.claim([(topic, number)], "test") for number, each in enumerate(joints)))
        assert all(sheet.complete for each in joints for sheet in each.folder.sheets.values())
        await reader.rollback()
    keys = await runs.query("SELECT 1 FROM pg_constraint WHERE contype = 'p' AND connamespace = 'rm_bank_g1'::regnamespace")
    assert len(keys) == 2


def test_needs_key():
    """A table's key is needed once a stored row changes, or when it is unknown what is stored."""
    sheet = Sheet(Table(Balance, key="account", metadata=owned.bank.metadata, name="other"), complete=True)
    sheet.rows["a"] = Balance("a")
    assert not needs_key(sheet)
    sheet.dirty.add("a")
    assert not needs_key(sheet)
    sheet.settle()
    sheet.rows["b"] = Balance("b")
    sheet.dirty.add("b")
    assert not needs_key(sheet)
    sheet.dirty.add("a")
    assert needs_key(sheet)
    sheet.dirty.remove("a")
    sheet.complete = False
    assert needs_key(sheet)
