"""Kill a replay at every named moment; run the command again; nothing is lost, repeated or done from zero."""

import asyncio

import pytest

from eventstore.moments import CRASHED
from tests.bank.oracle import expect
from tests.bank.release1 import app
from tests.bank.runs import ended
from tests.faults.history import check

MOMENTS = (
    "replay.generation_created",
    "replay.tables_created",
    "batch.before_commit",
    "batch.after_commit",
    "replay.building",
    "replay.caught_up",
    "replay.verified",
    "swap.pointer_locked",
    "swap.before_commit",
    "swap.after_commit",
)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_resumes_after_kill(runs, log, ledger, moment):
    """A replay killed at any moment leaves the old rows or the new ones live, and the same command brings it to its end."""
    await log.write(ledger.some(200))
    await runs.serve(app)
    before = await runs.rows()
    await log.write(ledger.some(50))
    crash = runs.child(
        "replay", "--projection", "bank", "--from-beginning", release=2, REFOLD_FAIL_AT=moment, REFOLD_REPLAY_COMMIT_ROWS="20"
    )
    async with ended(crash):
        said = (await asyncio.to_thread(crash.communicate))[0]
        assert crash.returncode == CRASHED, said
    swapped = moment == "swap.after_commit"
    assert await runs.rows() == (expect(ledger.events, abs) if swapped else before)
    done = await runs.rebuild(release=2)
    assert done.code == 0, done.err
    assert check(await runs.history(ledger.events, abs)) == []
    assert await runs.states() == {2: "live", 1: "retired"}, "resumed, not begun anew"


async def test_resumes_verified_build(runs, log, ledger):
    """A build that was verified and then went past the live generation is not mistaken for one with other rows."""
    await log.write(ledger.some(200))
    await runs.serve(app)
    await log.write(ledger.some(50))
    crash = runs.child("replay", "--projection", "bank", "--from-beginning", REFOLD_FAIL_AT="swap.before_commit")
    async with ended(crash):
        await asyncio.to_thread(crash.communicate)
    done = await runs.rebuild()
    assert done.code == 0, done.err
    assert await runs.rows() == expect(ledger.events)
