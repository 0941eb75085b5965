"""Live workers: several processes, rebalances, kills, zombies and lost connections. What counts is that the rows are exact."""

import asyncio
import signal

import pytest

from eventstore.moments import CRASHED
from eventstore.postgres.engine import open_engine
from eventstore.settings import PostgresSettings
from projections.declaration.projection import Projection
from projections.declaration.registry import Projections
from projections.feeding.supervisor import Supervisor
from tests.bank import release1, release2
from tests.bank.log import Log
from tests.bank.oracle import expect
from tests.bank.release1 import app
from tests.bank.runs import QUICK, ended, hear
from tests.faults.history import check
from tests.stack.waiting import eventually


async def test_feeds_from_first_event(runs, log, ledger):
    """The first worker makes the first generation live, and its rows follow the log."""
    async with runs.worker(app):
        await log.write(ledger.some(100))
        await runs.current()
        assert await runs.rows() == expect(ledger.events)
        await log.write(ledger.some(100))
        await runs.current()
        assert await runs.rows() == expect(ledger.events)
    listed = await runs.projections("list", "--json")
    [fact] = listed.facts
    assert (fact["state"], fact["lag"], fact["parked"]) == ("live", 0, 0)


async def test_waits_for_its_topic(runs, used_topics, ledger):
    """A worker that starts before anybody has made its topic says what it waits for, and feeds once it is there."""
    heard = []
    supervisor = Supervisor(app, runs.engine, kafka=runs.kafka, settings=QUICK, say=lambda text, **_: heard.append(text))
    stopping = asyncio.Event()
    task = asyncio.create_task(supervisor.run(stopping))

    async def waits():
        return task.done() or any(runs.kafka.events_topic in each and "eventstore relay" in each for each in heard)

    await eventually(waits, "what it waits for")
    assert await runs.states() == {}
    used_topics.append(runs.kafka.events_topic)
    async with Log.open(runs.kafka) as log:
        await log.write(ledger.some(50))
        await runs.current()
    assert await runs.rows() == expect(ledger.events)
    assert len([each for each in heard if "eventstore relay" in each]) == 1, "it says so once"
    stopping.set()
    await task


async def test_first_workers_agree(runs, log, ledger):
    """Two workers that start at once make one first generation between them."""
    async with runs.worker(app), runs.worker(app):
        await log.write(ledger.some(100))
        await runs.current()
    assert await runs.states() == {1: "live"}
    assert await runs.rows() == expect(ledger.events)


async def test_releases_start_together(runs, log, ledger):
    """Of two releases that start at once on an empty catalogue, one makes the first generation and the other leaves it alone."""
    await log.write(ledger.some(10))
    old, new = (Supervisor(each.app, runs.engine, kafka=runs.kafka, settings=QUICK) for each in (release1, release2))
    await asyncio.gather(old.look(), new.look())
    stopping = asyncio.Event()
    stopping.set()
    fed = [worker.generation.fingerprint for worker in [*old.workers, *new.workers]]
    mine = [each.fingerprints["bank"] for each in (old, new) if each.workers]
    await asyncio.gather(old.run(stopping), new.run(stopping))
    assert fed == mine
    assert len(fed) == 1


async def test_processes_share_partitions(runs, log, ledger):
    """Two processes share the partitions, one of them is killed, and the rows are exact, those touched from both included."""
    first, second = runs.child("projections", "run"), runs.child("projections", "run")
    async with ended(first, second):
        await _await_owners(runs, 2)
        for _ in range(10):
            await log.write(ledger.some(40))
        first.kill()
        await log.write(ledger.some(100))
        await runs.current(timeout_s=60)
        assert check(await runs.history(ledger.events)) == []
        second.send_signal(signal.SIGTERM)
        await asyncio.to_thread(second.wait, 60)
        assert second.returncode == 0, "a worker leaves in peace when asked to"


@pytest.mark.parametrize("moment", ["batch.before_commit", "batch.after_commit"])
async def test_restarts_after_kill(runs, log, ledger, moment):
    """A worker killed before or after a commit is followed by one that applies every event exactly once."""
    await log.write(ledger.some(50))
    await runs.serve(app)
    await log.write(ledger.some(100))
    crash = runs.child("projections", "run", REFOLD_FAIL_AT=moment)
    async with ended(crash):
        said = (await asyncio.to_thread(crash.communicate))[0]
        assert crash.returncode == CRASHED, said
    await runs.evict()
    async with runs.worker(app):
        await runs.current()
    assert check(await runs.history(ledger.events)) == []


async def test_zombies_write_nothing(runs, log, ledger, tmp_path):
    """Workers stopped before a commit, or with records in their hands, wake after others took over and change nothing."""
    asleep = tmp_path / "asleep"
    quick = {
        "REFOLD_POSTGRES_IDLE_IN_TRANSACTION_S": "1",  # so long does a stopped worker hold its rows back from the next owner
        "REFOLD_PROJECTIONS_SESSION_S": "120",  # nobody but the test puts them out
    }
    paused = runs.child("projections", "run", REFOLD_PAUSE_AT=f"batch.before_commit:{asleep}", **quick)
    stopped = runs.child("projections", "run", **quick)
    async with ended(paused, stopped):
        await _await_owners(runs, 2)
        stopped.send_signal(signal.SIGSTOP)
        await log.write(ledger.some(100))

        async def sleeps():
            return asleep.exists()

        await eventually(sleeps, "the worker stops before its commit")
        assert await runs.evict() == 2
        async with runs.worker(app):
            await runs.current()
            assert check(await runs.history(ledger.events)) == []
            for each in (paused, stopped):
                each.send_signal(signal.SIGCONT)
            await log.write(ledger.some(100))
            await runs.current()
            assert check(await runs.history(ledger.events)) == []


async def test_connections_cut(runs, log, ledger):
    """Workers whose database connections are cut again and again go on and stay exact."""
    await log.write(ledger.some(40))
    await runs.serve(app)
    own = open_engine(PostgresSettings(), application="cut me")
    try:
        async with runs.worker(app, own) as supervisor:

            async def feeds():
                return supervisor.workers

            await eventually(feeds, "the worker feeds")
            for _ in range(5):
                await log.write(ledger.some(40))
                await runs.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'cut me' AND datname = current_database()"
                )
            await runs.current()
            assert check(await runs.history(ledger.events)) == []
    finally:
        await own.dispose()


async def test_workers_come_and_go(runs, log, ledger):
    """Workers join and leave while events come in; every event is applied once, in its stream's order."""
    async with runs.worker(app):
        for _ in range(3):
            async with runs.worker(app):
                await log.write(ledger.some(60))
                await runs.current()
            await log.write(ledger.some(60))
        await runs.current()
    assert check(await runs.history(ledger.events)) == []


async def test_parks_and_goes_on(runs, log, ledger):
    """A poisonous event parks itself and the later ones of its stream; other streams and later batches go on."""
    async with runs.worker(app):
        await log.write([*ledger.some(20), ledger.move("account-1", kind="poison"), ledger.move("account-1")])
        await runs.current()
        await log.write([ledger.move("account-1"), *ledger.some(20)])
        await runs.current()
        assert await runs.rows() == expect(ledger.events)
    parked = await runs.parked()
    assert {each["key"] for each in parked} == {"account-1"}
    first, *later = parked
    assert "ValueError: this move can't be counted at counted:" in first["reason"]
    assert {each["reason"] for each in later} == {"an earlier record of this key is parked"}
    assert len(parked) == len([e for e in ledger.events if e.stream == "account-1"]) - len(
        expect(ledger.events)["trail"].get("account-1", {"versions": []})["versions"]
    )


async def test_row_unawares(runs, log, ledger):
    """A row that came behind the worker's back is built on, although a worker that fills the tables alone looks for no new key."""
    async with runs.worker(app):
        await log.write(ledger.some(40))
        await runs.current()
        schema = (await runs.live()).schema_name
        await runs.query(f"INSERT INTO {schema}.balance VALUES ('account-7000', 0, 0) RETURNING account")
        await log.write([ledger.move(f"account-{7000 + each}") for each in range(1_500)])
        await runs.current()
        assert await runs.rows() == expect(ledger.events)
    assert await runs.parked() == []


async def test_leaves_other_code_alone(runs, log, ledger):
    """A release whose code differs from the live generation's writes nothing into it and says what to do."""
    from tests.bank import release2

    await log.write(ledger.some(50))
    await runs.serve(app)
    before = await runs.rows()
    await log.write(ledger.some(50))
    child = runs.child("projections", "run", release=2)
    async with ended(child):
        await hear(child, "replay --projection bank --from-beginning")
    assert await runs.rows() == before
    planned = await runs.projections("plan", "--json", "--app", "tests.bank.release2:app")
    assert planned.facts[0]["verdict"] == "needs rebuild"
    assert release2.bank.projection.version == 2


async def test_lost_history_is_said(runs, log, ledger):
    """A worker whose next offset is gone from the log stops there and says so, rather than jump."""
    from tests.integration.replay.test_refusals import truncate

    await log.write(ledger.some(40))
    await runs.serve(app)
    await log.write(ledger.some(200))
    for (_, partition), end in (await runs.ends()).items():
        await truncate(runs.kafka, partition, end)
    before = await runs.rows()
    child = runs.child("projections", "run")
    async with ended(child):
        await hear(child, "HistoryIncomplete")
    assert await runs.rows() == before


async def test_unreachable_at_start(runs, monkeypatch):
    """`projections run` against servers that do not answer ends with exit code 6."""
    for variable, value in (("REFOLD_KAFKA_BOOTSTRAP", "127.0.0.1:9"), ("REFOLD_POSTGRES_DSN", "postgresql://127.0.0.1:9/x")):
        child = runs.child("projections", "run", **{variable: value})
        async with ended(child):
            said = (await asyncio.to_thread(child.communicate))[0]
            assert child.returncode == 6, said
            assert "127.0.0.1:9" in said


def test_app_needs_handlers():
    """An app of projections without handlers is refused when it is declared."""
    with pytest.raises(Exception, match="has no handler"):
        Projections(Projection("empty"))


async def _await_owners(runs, count):
    async def owners():
        rows = await runs.query("SELECT count(DISTINCT owner) AS owners, count(*) AS all FROM projections.checkpoint")
        return rows[0]["owners"] == count and rows[0]["all"] == 4

    await eventually(owners, f"{count} processes own the partitions", 60)
