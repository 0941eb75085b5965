"""Processes that die or sleep between a sink and the tables: the catalogue decides, the sink follows, readers see one whole generation."""

import asyncio
import signal
from pathlib import Path

import pytest

from eventstore.moments import CRASHED
from tests.bank.places import expected
from tests.bank.release17 import app
from tests.bank.runs import ended
from tests.stack.waiting import eventually


@pytest.mark.parametrize("moment", ["copy.before_apply", "copy.after_apply"])
async def test_worker_killed(runs, log, ledger, places, moment):
    """A worker that dies before or after a sink took its batch leaves nothing that the next one does not put right."""
    await log.write(ledger.some(60))
    await runs.serve(app)
    rows = await runs.rows()
    await log.write(ledger.some(60))
    crash = runs.child("projections", "run", release=17, REFOLD_FAIL_AT=moment)
    async with ended(crash):
        said = (await asyncio.to_thread(crash.communicate))[0]
        assert crash.returncode == CRASHED, said
    assert await runs.rows() == rows, "no table has what was not committed"
    await runs.evict()
    async with runs.worker(app):
        await runs.current(60)
        assert await places.rows() == expected(ledger.events)


@pytest.mark.parametrize("moment", ["copy.filling", "copy.filled", "copy.before_point"])
async def test_replay_killed(runs, log, ledger, places, moment):
    """A replay that dies while it fills or points leaves the old rows or the new ones to every reader, and ends when run again."""
    await log.write(ledger.some(120))
    await runs.serve(app)
    before = await places.read(17)
    crash = runs.child("replay", "--projection", "bank", "--from-beginning", release=18, REFOLD_FAIL_AT=moment)
    async with ended(crash):
        said = (await asyncio.to_thread(crash.communicate))[0]
        assert crash.returncode == CRASHED, said
    swapped = moment == "copy.before_point"
    live = await places.live()
    assert live.number == (2 if swapped else 1)
    assert await places.rows(live) == expected(ledger.events, abs if swapped else int)
    assert (await places.read(live.version)) == before or swapped
    done = await runs.rebuild(release=18)
    assert done.code == 0, done.err
    assert await runs.states() == {2: "live", 1: "retired"}, "resumed, not begun anew"
    live = await places.live()
    assert await places.rows(live) == expected(ledger.events, abs)
    assert await places.pointed(live) == {2}


async def test_swap_without_pointer_is_followed_by_workers(runs, log, ledger, places):
    """When whoever swapped dies before the pointers of sinks moved, the workers of the live generation move them."""
    await log.write(ledger.some(60))
    await runs.serve(app)
    crash = runs.child("replay", "--projection", "bank", "--from-beginning", release=18, REFOLD_FAIL_AT="copy.before_point")
    async with ended(crash):
        await asyncio.to_thread(crash.communicate)
    live = await places.live()
    assert await places.pointed(live) == {1}, "the old one, whole"
    from tests.bank.release18 import app as next_app

    async with runs.worker(next_app):

        async def moved():
            return await places.pointed(live) == {2}

        await eventually(moved, "workers move the pointers", 60)


async def test_gc_takes_readers_along(runs, log, ledger, places):
    """`gc` drops no copy that readers without the catalogue still see: it points them at the live one first, as workers would."""
    await log.write(ledger.some(60))
    await runs.serve(app)
    crash = runs.child("replay", "--projection", "bank", "--from-beginning", release=18, REFOLD_FAIL_AT="copy.before_point")
    async with ended(crash):
        said = (await asyncio.to_thread(crash.communicate))[0]
        assert crash.returncode == CRASHED, said

    async def dropped():
        return [each["generation"] for each in (await runs.replay("gc", "--force")).facts] == [1]

    await eventually(dropped, "the server ends the session of the process that was killed", 60)
    live = await places.live()
    assert await places.pointed(live) == {2}
    assert await places.rows(live) == expected(ledger.events, abs)


async def test_zombie(runs, log, ledger, places, tmp_path: Path):
    """A worker that slept before its batch reached the sinks wakes when others are far ahead, and changes nothing."""
    await log.write(ledger.some(60))
    await runs.serve(app)
    await log.write(ledger.some(60))
    asleep = tmp_path / "asleep"
    zombie = runs.child("projections", "run", release=17, REFOLD_PAUSE_AT=f"copy.before_apply:{asleep}")
    async with ended(zombie):

        async def sleeps():
            return asleep.exists()

        await eventually(sleeps, "the worker sleeps", 60)
        await runs.evict()
        await runs.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
        )
        async with runs.worker(app):
            await log.write(ledger.some(60))
            await runs.current(60)
            assert await places.rows() == expected(ledger.events)
            zombie.send_signal(signal.SIGCONT)
            await log.write(ledger.some(30))
            await runs.current(60)
            assert await places.rows() == expected(ledger.events)
        zombie.send_signal(signal.SIGTERM)
        await asyncio.to_thread(zombie.communicate)
    async with runs.worker(app):
        await runs.current(60)
        assert await places.rows() == expected(ledger.events)
