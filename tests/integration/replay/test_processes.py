"""One build in several processes, each with partitions of its own."""

import asyncio
import json
import os
import signal

import pytest

from eventstore.moments import CRASHED
from tests.bank.oracle import expect
from tests.bank.runs import ended
from tests.stack.waiting import eventually

ARGV = ("--projection", "bank", "--from-beginning", "--json", "--processes")
APP = {"REFOLD_PROJECTIONS_APP": "tests.bank.owned:app"}


async def built(runs):
    """Give the rows of the tables that the owned release has."""
    live = await runs.live()
    return {
        table: {row[key]: row for row in await runs.query(f"SELECT * FROM {live.schema_name}.{table}")}
        for table, key in (("balance", "account"), ("trail", "stream"))
    }


def expected(ledger):
    rows = expect(ledger.events)
    del rows["kind_total"]
    return rows


async def run(runs, processes="2", **environment):
    """Run the replay as a process and give its code and the lines that it said."""
    child = runs.child("replay", *ARGV, processes, **APP, **environment)
    async with ended(child):
        out, _ = await asyncio.to_thread(child.communicate)
    return child.returncode, [json.loads(line) for line in out.splitlines() if line.startswith("{")]


async def test_builds_in_two(runs, log, ledger):
    """Two processes give the rows that one gives, also of rows that are stored, evicted and needed again, and the swap follows."""
    await log.write(ledger.some(400))
    code, said = await run(runs, REFOLD_REPLAY_COMMIT_ROWS="10", REFOLD_REPLAY_CACHE_ROWS="1000")
    assert code == 0, said
    assert len(next(each["pids"] for each in said if each.get("progress") == "processes")) == 2
    assert said[-1]["records"] >= 400
    assert await built(runs) == expected(ledger)
    keys = await runs.query("SELECT 1 FROM pg_constraint WHERE contype = 'p' AND connamespace = 'rm_bank_g1'::regnamespace")
    assert len(keys) == 2


async def test_nothing_to_share_out(runs, log, ledger):
    """When fewer than two partitions have something to read, two processes that were asked for are one, and the swap follows."""
    await log.write([each for each in ledger.some(40) if each.stream == ledger.events[0].stream])
    code, said = await run(runs)
    assert code == 0, said
    assert said[-1]["state"] == "live"
    assert next(each["outcome"] for each in said if each.get("progress") == "processes").startswith("one: fewer than two")


@pytest.mark.parametrize("moment", ["part.built", "replay.building"])
async def test_resumes_after_crash(runs, log, ledger, moment):
    """When another process dies after its part, or whoever commits first, the run ends; the same command goes on from there."""
    await log.write(ledger.some(400))
    code, said = await run(runs, REFOLD_REPLAY_COMMIT_ROWS="10", REFOLD_FAIL_AT=moment)
    assert code == 1 or (code, moment) == (CRASHED, "replay.building")
    assert code != 1 or f"ended with status {CRASHED}" in said[-1]["message"]
    [done] = await runs.query("SELECT sum(next_offset) AS done FROM projections.checkpoint")
    assert done["done"] > 0
    code, said = await run(runs)
    assert code == 0, said
    assert said[-1]["records"] < 400, "it did not begin anew"
    assert await built(runs) == expected(ledger)
    assert await runs.states() == {1: "live"}


async def test_survives_kill(runs, log, ledger, tmp_path):
    """A process that is killed takes the run with it; a run that is killed leaves no process behind."""
    await log.write(ledger.some(200))
    pause = f"part.built:{tmp_path / 'paused'}"
    child = runs.child("replay", *ARGV, "2", **APP, REFOLD_REPLAY_COMMIT_ROWS="10", REFOLD_PAUSE_AT=pause)
    async with ended(child):
        pids = await hear_pids(child)
        assert pids[0] == child.pid, "the run builds a part too"
        await eventually(lambda: exists(tmp_path / "paused"), "the other one stands still", 60)
        os.kill(pids[1], signal.SIGKILL)
        out, _ = await asyncio.to_thread(child.communicate)
        assert child.returncode == 1
        assert "was ended by signal 9" in out
    assert await are_gone(pids)
    child = runs.child("replay", *ARGV, "2", **APP, REFOLD_REPLAY_COMMIT_ROWS="10", REFOLD_PROJECTIONS_POLL_S="0.05")
    async with ended(child):
        pids = await hear_pids(child)
        child.kill()
        await asyncio.to_thread(child.communicate)
    await eventually(lambda: are_gone(pids), "nobody builds on for nobody", 60)
    code, said = await run(runs)
    assert code == 0, said
    assert await built(runs) == expected(ledger)


async def test_falls_back(runs, log, ledger):
    """A projection with rows that are touched from several partitions is built by one process, and the run says why."""
    await log.write(ledger.some(60))
    done = await runs.rebuild("--processes", "2")
    assert done.code == 0, done.err
    assert "rows of kind_total are touched from several partitions" in done.err
    assert await runs.rows() == expect(ledger.events)


async def hear_pids(child):
    while True:
        line = await asyncio.wait_for(asyncio.to_thread(child.stdout.readline), 60)
        assert line, "it ended without a word"
        if '"pids"' in line:
            return json.loads(line)["pids"]


async def exists(path):
    return path.exists()


async def are_gone(pids):
    return not any(os.path.exists(f"/proc/{each}") for each in pids)  # noqa: ASYNC240, PTH110 - it waits for nothing
