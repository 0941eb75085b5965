"""Kill a replay at every named moment; run the command again; nothing is lost, repeated or done from zero (F34)."""

import asyncio

import pytest

from eventstore.moments import CRASH_POINTS, CRASHED
from tests.bank.oracle import expect
from tests.bank.runs import ended
from tests.stack.waiting import eventually

REPLAY = ("replay", "--projection", "bank", "--from-beginning")
SWAPPED = {"swap.after_commit", "swap.views_made", "replay.handed_over"}
LATER = ("batch.before_commit:3", "batch.after_commit:3", "replay.building:3")
"""The third time that the build gets there: something is committed by then."""


async def crash(runs, *argv, **environment):
    """Run a console program that must die at its moment."""
    child = runs.child(*argv, **environment)
    async with ended(child):
        said = (await asyncio.to_thread(child.communicate))[0]
        assert child.returncode == CRASHED, said


@pytest.mark.parametrize("moment", [*(each for each in CRASH_POINTS if not each.startswith("gc.")), *LATER])
async def test_resumes_after_kill(runs, log, ledger, moment):
    """A replay killed at any moment leaves the old rows or the new ones live, and the same command brings it to its end (F34)."""
    await log.write(ledger.some(200))
    assert (await runs.rebuild()).code == 0
    before = await runs.rows()
    await log.write(ledger.some(50))
    await crash(runs, *REPLAY, release=2, REFOLD_FAIL_AT=moment, REFOLD_REPLAY_COMMIT_ROWS="20")
    assert await runs.rows() == (expect(ledger.events, abs) if moment in SWAPPED else before)
    done = await runs.rebuild(release=2)
    assert done.code == 0, done.err
    await runs.judge(ledger.events, abs)
    assert await runs.states() == {2: "live", 1: "retired"}, "resumed, not begun anew"
    if moment in LATER:
        assert done.facts["records"] < len(ledger.events), "what was committed is not read again"


async def test_collect_resumes(runs, log, ledger):
    """A gc that was killed is done by the next one, and whoever rolls back before that finds the old generation whole (F34)."""
    moments = [each for each in CRASH_POINTS if each.startswith("gc.")]
    await log.write(ledger.some(50))
    assert (await runs.rebuild()).code == 0
    assert (await runs.rebuild("--grace", "0")).code == 0
    for moment in moments:
        await crash(runs, "replay", "gc", REFOLD_FAIL_AT=moment)
        await runs.judge(ledger.events)

    async def is_back():
        return (await runs.replay("rollback", "--projection", "bank")).code == 0

    await eventually(is_back, "the server ends the session of the process that was killed")
    assert (await runs.live()).number == 1
    await runs.judge(ledger.events)
    assert [each["generation"] for each in (await runs.replay("gc", "--force")).facts] == [2]


async def test_resumes_verified_build(runs, log, ledger):
    """A build that was verified and then went past the live generation is not mistaken for one with other rows."""
    await log.write(ledger.some(200))
    assert (await runs.rebuild()).code == 0
    await log.write(ledger.some(50))
    await crash(runs, *REPLAY, REFOLD_FAIL_AT="swap.before_commit")
    done = await runs.rebuild()
    assert done.code == 0, done.err
    assert await runs.rows() == expect(ledger.events)
