"""Projections that feed each other, from their first event to the end of what they derived."""

import asyncio
import signal
from collections import Counter

from psycopg.rows import dict_row

import replay.cli
from eventstore.log.admin import Admin
from eventstore.moments import CRASHED
from eventstore.postgres.engine import checkout
from projections.control.catalogue import find_live, list_generations
from projections.fold.trace import name_fact
from projections.serving.session import ReadModels
from tests.bank.chained import alarms, app, ranks
from tests.bank.runs import ended
from tests.stack.waiting import eventually

APP = "tests.bank.chained:app"
LONG_S = 90.0


def expect(events):
    """Fold *events* without refold: the rows of all three projections."""
    cents, found, counted = {}, {}, Counter()
    for each in events:
        if each.type != "money-moved" or each.data["kind"] == "poison":
            continue
        account, was = each.stream, cents.get(each.stream, 0)
        now = cents[account] = was + each.data["amount"]
        facts = ["over"] if now < 0 else ["covered"] * 2 if was < 0 else []
        for ordinal, fact in enumerate(facts):
            row = found.setdefault(account, {"account": account, "times": 0, "deepest": 0, "ringing": False, "ids": ""})
            row["ids"] += f"{str(name_fact('accounts', each.id, ordinal))[:8]} "
            row["ringing"] = fact == "over"
            if fact == "over":
                row["times"] += 1
                row["deepest"] = min(row["deepest"], now)
                counted[row["times"]] += 1
    return cents, found, dict(counted)


async def generations(runs, name=None):
    async with checkout(runs.engine) as connection:
        return await list_generations(connection, name)


async def rows(runs):
    """Give what the live generations hold, in the form of `expect`."""
    async with checkout(runs.engine) as connection:
        found = [await find_live(connection, name) for name in ("accounts", "alarms", "ranks")]
        if None in found:
            return None
        cursors = [
            await connection.cursor(row_factory=dict_row).execute(f"SELECT * FROM {live.schema_name}.{table}")
            for live, table in zip(found, ("balance", "alarm", "rank"), strict=True)
        ]
        balances, alarmed, ranked = [await each.fetchall() for each in cursors]
    return (
        {each["account"]: each["cents"] for each in balances},
        {each["account"]: each for each in alarmed},
        {each["times"]: each["alarms"] for each in ranked},
    )


async def settled(runs, ledger):
    """Return once all three read models hold exactly what they should."""
    wanted = expect(ledger.events)

    async def is_there():
        return await rows(runs) == wanted

    try:
        await eventually(is_there, "the whole chain is there", LONG_S)
    except TimeoutError:
        assert await rows(runs) == wanted
        raise


async def rebuild(runs, name, *flags):
    return await runs.program(replay.cli.main, "--projection", name, "--from-beginning", "--app", APP, "--json", *flags)


async def topics(kafka):
    async with Admin.open(kafka) as admin:
        return [each for each in await admin.topics() if each.startswith(f"{kafka.topic_prefix}.") and each.endswith(".derived")]


async def test_whole_chain(runs, log, ledger, kafka, used_topics):
    """What one projection derives the next one folds, once and in order; replayed, swapped and dropped upstream first, it stays whole.

    What read of a dropped generation is not made live again, for nothing could feed it.
    """
    await log.write(ledger.some(300))
    async with runs.worker(app):
        await settled(runs, ledger)
        for name in ("accounts", "alarms", "ranks"):
            done = await rebuild(runs, name, "--grace", "0")
            assert done.code == 0, done.err
            if name == "accounts":
                kept = await runs.program(replay.cli.main, "gc", "--force", "--json")
                assert (kept.code, kept.facts) == (0, []), "somebody reads it"
            await log.write(ledger.some(40))
            await settled(runs, ledger)
        assert [each.topics for each in await generations(runs, "alarms")] == [
            {f"{kafka.topic_prefix}.accounts.g2.derived": 4},
            {f"{kafka.topic_prefix}.accounts.g1.derived": 4},
        ]
    upstream = await runs.program(replay.cli.main, "gc", "--projection", "accounts", "--json")
    assert (upstream.code, len(upstream.facts)) == (0, 1), upstream.err
    back = await runs.program(replay.cli.main, "rollback", "--projection", "alarms", "--json")
    assert (back.code, back.error["error"]) == (3, "PreconditionFailed"), back.err
    assert "accounts g1 is dropped" in back.error["message"]
    dropped = await runs.program(replay.cli.main, "gc", "--force", "--json")
    assert dropped.code == 0, dropped.err
    assert len(dropped.facts) == 2
    left = [f"{kafka.topic_prefix}.{each}.g2.derived" for each in ("accounts", "alarms")]

    async def are_left():
        return await topics(kafka) == left

    await eventually(are_left, "brokers hear that the topics of dropped generations are gone")
    used_topics += left
    assert await runs.query("SELECT DISTINCT generation FROM projections.derived_stand") != []


async def test_rolls_back(runs, log, ledger, kafka, used_topics):
    """After a rollback upstream or downstream every read model is whole, with what was recorded since, and stays so."""
    await log.write(ledger.some(200))
    async with runs.worker(app):
        await settled(runs, ledger)
        for name in ("accounts", "alarms"):
            done = await rebuild(runs, name)
            assert done.code == 0, done.err
        for name in ("accounts", "alarms", "accounts"):
            await log.write(ledger.some(40))
            back = await runs.program(replay.cli.main, "rollback", "--projection", name, "--json")
            assert back.code == 0, back.err
            await settled(runs, ledger)
    used_topics += await topics(kafka)


async def test_reads_its_writes(runs, log, ledger, engine, kafka):
    """Who waits for a token finds in the last read model of a chain what followed from that very event."""
    models = ReadModels(engine, app, kafka=kafka)
    async with runs.worker(app):
        for number in range(1, 6):
            [event] = [ledger.move("account-1", -5)]
            await log.write([event])

            async def are_live():
                return await rows(runs) is not None

            await eventually(are_live, "all are live", LONG_S)
            await models.wait_for(event.token, ranks, timeout_s=LONG_S)
            assert (await rows(runs))[2] == dict.fromkeys(range(1, number + 1), 1)
            await models.wait_for(event.token, alarms, timeout_s=LONG_S)


def feed(runs, **environment):
    """Feed the chain in a process that has one name for life, so that nobody waits for the one before it that died."""
    return runs.child("projections", "run", REFOLD_PROJECTIONS_APP=APP, REFOLD_PROJECTIONS_INSTANCE="one", **environment)


async def die(runs, moment):
    """Feed the chain in a process that dies at *moment*."""
    child = feed(runs, REFOLD_FAIL_AT=moment)
    async with ended(child):
        said, _ = await asyncio.wait_for(asyncio.to_thread(child.communicate), LONG_S)
        assert child.returncode == CRASHED, said


async def test_survives_crashes(runs, log, ledger, kafka, used_topics):
    """A worker killed between commit and publish, inside of the publish or right after it loses nothing and repeats nothing."""
    for moment in ("batch.after_commit", "derive.before_commit", "derive.after_commit"):
        await log.write(ledger.some(60))
        await die(runs, moment)
    async with ended(feed(runs)):
        await settled(runs, ledger)
    used_topics += await topics(kafka)


async def test_fences_zombie(runs, log, ledger, kafka, used_topics, tmp_path):
    """A publisher that falls asleep inside of a publish and wakes up when another one has taken over publishes nothing."""
    await log.write(ledger.some(60))
    paused = tmp_path / "paused"
    child = runs.child("projections", "run", REFOLD_PROJECTIONS_APP=APP, REFOLD_PAUSE_AT=f"derive.before_commit:{paused}")
    async with ended(child):
        await eventually(lambda: asyncio.to_thread(paused.exists), "it sleeps", LONG_S)
        await runs.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()")
        await log.write(ledger.some(60))
        for each in await generations(runs):
            await runs.evict(each.projection)
        async with runs.worker(app):
            await settled(runs, ledger)
            child.send_signal(signal.SIGCONT)
            await log.write(ledger.some(60))
            await settled(runs, ledger)
    used_topics += await topics(kafka)
