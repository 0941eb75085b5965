"""A chain ends at the same digests whoever derives and folds it: how many, in how large batches, and however often they died on the way."""

import asyncio

from eventstore.moments import CRASHED
from eventstore.postgres.engine import checkout
from projections.control.catalogue import list_generations
from projections.readmodels.postgres import ReadModel
from tests.bank.chained import app
from tests.bank.runs import ended
from tests.integration.replay.test_chain import APP, settled, topics

SMALL = {"REFOLD_REPLAY_COMMIT_ROWS": "7", "REFOLD_REPLAY_CACHE_ROWS": "1000", "REFOLD_REPLAY_CACHE_KEYS": "0"}
UNFED = {"REFOLD_REPLAY_HANDOVER_S": "60"}
"""Whoever nobody relieves goes on feeding, so that what it derives reaches the publisher before it ends."""


async def rebuild(runs, name, *flags, **environment):
    """Rebuild one projection of the chain in a process of its own; give its exit code and what it said."""
    argv = ("--projection", name, "--from-beginning", "--grace", "0", "--json", *flags)
    child = runs.child("replay", *argv, REFOLD_PROJECTIONS_APP=APP, **environment)
    async with ended(child):
        said, _ = await asyncio.to_thread(child.communicate)
    return child.returncode, said


async def rebuilt(runs, name, *flags, **environment):
    """Rebuild it to the end, and give what was said."""
    code, said = await rebuild(runs, name, *flags, **environment)
    assert code == 0, said
    return said


async def crash(runs, name, moment, **environment):
    """Rebuild it until it dies at *moment*."""
    code, said = await rebuild(runs, name, REFOLD_FAIL_AT=moment, REFOLD_REPLAY_COMMIT_ROWS="5", **environment)
    assert code == CRASHED, said


async def digests(runs):
    """Give the digest of each projection's generations, by name and number."""
    async with checkout(runs.engine) as connection:
        return {
            each.name: {
                generation.number: await ReadModel(each, generation.schema_name).digest(connection)
                for generation in await list_generations(connection, each.name)
            }
            for each in app
        }


async def test_same_digests(runs, log, ledger, kafka, used_topics):
    """Two live workers, small batches in two processes, and builds that died at three points give the same rows."""
    async with runs.worker(app), runs.worker(app):
        for _ in range(5):
            await log.write(ledger.some(50))
        await settled(runs, ledger)
        assert '"pids"' in await rebuilt(runs, "accounts", "--processes", "2", **SMALL)
        await rebuilt(runs, "alarms", "--processes", "2", **SMALL)
        await rebuilt(runs, "ranks", **SMALL)
    await crash(runs, "accounts", "batch.after_commit:2")
    await crash(runs, "accounts", "derive.after_commit", **UNFED)
    async with runs.worker(app):
        await rebuilt(runs, "accounts")
        await crash(runs, "alarms", "replay.building:3")
        await rebuilt(runs, "alarms")
        await rebuilt(runs, "ranks")
        await settled(runs, ledger)
    used_topics += await topics(kafka)
    found = await digests(runs)
    assert {name: len(each) for name, each in found.items()} == {"accounts": 3, "alarms": 3, "ranks": 3}
    for name, each in found.items():
        assert [number for number, digest in each.items() if digest != each[1]] == [], name
    assert found["alarms"][1]["alarm"].rows > 10
