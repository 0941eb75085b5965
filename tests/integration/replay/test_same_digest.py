"""The same log gives the same digest whoever folds it: how many, in how large batches, and however often they died on the way."""

import asyncio

import replay.cli
from eventstore.moments import CRASHED
from eventstore.postgres.engine import checkout
from projections.control.generation import State
from projections.readmodels.postgres import ReadModel
from tests.bank import owned, release1, release2
from tests.bank.runs import ended

WAYS = (
    {},
    {"REFOLD_REPLAY_COMMIT_ROWS": "1", "REFOLD_REPLAY_CACHE_ROWS": "1000", "REFOLD_REPLAY_CACHE_KEYS": "0"},
    {"REFOLD_REPLAY_COMMIT_ROWS": "17"},
)
CRASHES = ("batch.after_commit:2", "replay.building:5", "replay.keys_added", "replay.caught_up")
APP = "tests.bank.owned:app"
ARGV = ("--projection", "bank", "--from-beginning", "--json", "--no-swap", "--app", APP)


async def build(runs, monkeypatch, *flags, **settings):
    """Build one more generation, which must equal the live one, and put it aside."""
    with monkeypatch.context() as patched:
        for name, value in settings.items():
            patched.setenv(name, value)
        done = await runs.program(replay.cli.main, *ARGV, *flags)
    assert done.code == 0, done.err
    assert done.facts["verification"]["equal"] is True
    await runs.query("UPDATE projections.generation SET state = 'failed' WHERE state = 'verified'")


async def digests(runs):
    """Give the digests of all generations, by number."""
    found = {}
    async with checkout(runs.engine) as connection:
        for each in await runs.generations():
            found[each.number] = await ReadModel(owned.bank, each.schema_name).digest(connection)
    return found


async def test_same_digest(runs, log, ledger, monkeypatch):
    """Two live workers, one build, many commits, two processes, and one that died four times all end at one digest."""
    async with runs.worker(owned.app), runs.worker(owned.app):
        for _ in range(6):
            await log.write(ledger.some(50))
        await runs.current()
    for each in WAYS:
        await build(runs, monkeypatch, **each)
    await build(runs, monkeypatch, "--processes", "2")
    for each in CRASHES:
        child = runs.child("replay", *ARGV, REFOLD_FAIL_AT=each, REFOLD_REPLAY_COMMIT_ROWS="5")
        async with ended(child):
            said = (await asyncio.to_thread(child.communicate))[0]
            assert child.returncode == CRASHED, said
    await build(runs, monkeypatch)
    found = await digests(runs)
    assert len(found) == 6
    first = found[1]
    assert [number for number, each in found.items() if each != first] == []
    assert first["balance"].rows > 10
    live = await runs.live()
    assert (live.number, live.state) == (1, State.LIVE)


async def test_other_digest(runs, log, ledger):
    """One event more, or one handler that counts otherwise, and the digest is another one."""
    found = []

    async def look(release):
        assert (await runs.rebuild("--no-swap", release=release.bank.projection.version)).code == 0
        newest = (await runs.generations())[0]
        async with checkout(runs.engine) as connection:
            found.append((await ReadModel(release.bank.projection, newest.schema_name).digest(connection))["balance"])

    await log.write(ledger.some(60))
    await look(release1)
    await log.write([ledger.move("account-1", -7)])
    await look(release1)
    await look(release2)
    assert len(set(found)) == 3
