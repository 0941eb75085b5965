"""A build beside a live generation: it yields, says why it waits, and does not pass what it will be compared with."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor

import psycopg
from pydantic import SecretStr

from eventstore import PostgresSettings
from eventstore.log.admin import Admin
from eventstore.log.producer import TransactionalProducer
from eventstore.postgres import open_engine
from replay.construction.guard import Guard
from replay.settings import ReplaySettings
from tests.bank.oracle import expect
from tests.bank.release1 import app


async def test_yields(runs, log, ledger):
    """The build's share of time halves while a live generation that is fed is too far behind, and grows when it has come up."""
    await log.write(ledger.some(40))
    await runs.serve(app)
    guard = Guard(runs.engine, "bank", runs.kafka, ReplaySettings(live_lag_records=5))
    await guard.look()
    assert (guard.pace.share, guard.reason) == (1.0, None)
    await log.write(ledger.some(60))
    await guard.look()
    assert guard.pace.share == 1.0, "nobody feeds it, so there is nobody to protect"
    await runs.query("UPDATE projections.checkpoint SET seen_offset = seen_offset + 1")
    await guard.look()
    await guard.look()
    assert guard.pace.share == 0.25
    assert "for the live generation, " in guard.reason
    assert "working 25% of the time" in guard.reason
    async with runs.worker(app):
        await runs.current()
    await guard.look()
    assert (guard.pace.share, guard.lag.records) == (0.35, 0)


async def test_gives_way(runs, log, ledger):
    """A build beside a live generation that is fed leaves the processor to others first; beside one that nobody feeds it does not."""
    await log.write(ledger.some(40))
    await runs.serve(app)

    async def build(*, fed):
        engine = open_engine(PostgresSettings(dsn=SecretStr(runs.dsn)), application="guard")
        guard = Guard(engine, "bank", runs.kafka, ReplaySettings(nice=7))
        for _ in range(2):
            await guard.look()
            if fed:
                await runs.query("UPDATE projections.checkpoint SET seen_offset = seen_offset + 1")
        await engine.dispose()
        return os.getpriority(os.PRIO_PROCESS, 0)

    def work(*, fed):
        return asyncio.run(build(fed=fed))  # a thread has a priority of its own, and takes it along

    assert await asyncio.to_thread(in_thread, work, fed=False) < 7
    assert await asyncio.to_thread(in_thread, work, fed=True) == 7


def in_thread(work, **given):
    """Do *work* in a thread that ends with it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, **given).result()


async def test_names_blocker(runs, log, ledger):
    """A build that waits for a lock says who holds it, and goes on when it is given back."""
    await log.write(ledger.some(60))
    assert (await runs.rebuild("--no-swap", release=1)).code == 0
    await log.write(ledger.some(60))
    async with await psycopg.AsyncConnection.connect(runs.dsn, application_name="a careless report") as other:
        await other.execute("LOCK TABLE rm_bank_g1.trail IN SHARE MODE")
        child = runs.child("replay", "--projection", "bank", "--from-beginning", "--no-swap", "--json")
        try:
            while True:
                line = await asyncio.wait_for(asyncio.to_thread(child.stdout.readline), 60)
                assert line, "it ended without a word"
                if "stall" in line and "a careless report" in (json.loads(line)["stall"] or ""):
                    break
        finally:
            await other.rollback()
        out, _ = await asyncio.to_thread(child.communicate)
    assert child.returncode == 0, out


async def test_added_topic(runs, log, ledger, used_topics):
    """A release that reads one more topic is compared with a live generation that is behind: the build has not passed it meanwhile."""
    topic = f"{runs.kafka.topic_prefix}.notes"
    used_topics.append(topic)
    async with Admin.open(runs.kafka) as admin:
        await admin.create_topic(topic, 1, {"retention.ms": "-1"})
        await admin.wait_visible(topic)
    producer = TransactionalProducer(runs.kafka, topic, f"{topic}.test")
    await producer.start()
    await producer.publish([(0, b"ada", b"ada likes tea", 0), (0, b"bob", b"bob does not", 0)])
    await producer.close()
    await log.write(ledger.some(100))
    await runs.serve(app)
    seen = list(ledger.events)
    await log.write(ledger.some(200))
    argv = ("--projection", "bank", "--from-beginning", "--no-swap", "--json", "--app", "tests.bank.noted:app")
    done = await runs.program(_main(), *argv)
    assert done.code == 0, done.err
    tables = {each["table"]: each for each in done.facts["verification"]["tables"]}
    assert {name: each["equal"] for name, each in tables.items()} == {
        "balance": True,
        "kind_total": True,
        "trail": True,
        "note": False,
    }
    built = next(each for each in await runs.generations() if each.number == 2)
    assert await runs.rows(built) == expect(seen), "as far as the live one is"
    assert tables["note"]["only_new"] == 2


def _main():
    from replay.cli import main

    return main
