"""Readers while the pointer moves: a thousand times, and while whoever moves it is killed (F35, F37)."""

import asyncio
import json
import os
import signal

import pytest
import sqlalchemy as sa

from eventstore.moments import CRASHED
from projections.serving import ReadModels
from replay.cutover import swap, wait_for_workers
from tests.bank import release1
from tests.bank.oracle import expect
from tests.bank.runs import ended
from tests.faults.checker import examine
from tests.faults.operations import Recorder, count_bites, load
from tests.stack.forks import Child
from tests.stack.waiting import eventually

SWAPS = int(os.environ.get("REFOLD_TEST_SWAPS", "1000"))
PHASES = ("swap.pointer_locked", "swap.before_commit", "swap.after_commit", "swap.views_made")
REPLAY = ("replay", "--projection", "bank", "--from-beginning")


@pytest.fixture
def recorder(tmp_path):
    """Write this test's history."""
    return Recorder(tmp_path / "history.jsonl", "operator")


def note_swap(recorder, number, *, rollback=False):
    recorder.note("ok", "swap", projection="bank", pversion=number, rollback=rollback)


async def test_thousand_swaps(runs, log, ledger, recorder, tmp_path):
    """Four web processes read two tables a request over 1,000 swaps: none sees rows of two generations, or an error (F37)."""
    await log.write(ledger.some(60))
    assert (await runs.rebuild()).code == 0
    assert (await runs.rebuild()).code == 0
    for each in await runs.generations():
        for table in ("balance", "kind_total"):
            await runs.query(f"UPDATE {each.schema_name}.{table} SET moves = {each.number}")
    target = next(each for each in await runs.generations() if each.state == "retired")
    note_swap(recorder, 2)
    readers = [
        Child("tests.faults.reader", [str(tmp_path / "history.jsonl"), f"reader-{each}"], runs.environment(1))
        for each in range(4)
    ]
    async with ended(*readers):
        await eventually(lambda: all_read(tmp_path / "history.jsonl"), "four readers at work", 60)
        for _ in range(SWAPS):
            done = await swap(
                runs.engine, target, wait_for_workers(runs.engine, target), action="swap", grace_s=900, limit_s=60, detail={}
            )
            note_swap(recorder, done.live.number, rollback=True)
            target = done.retired
        for each in readers:
            each.send_signal(signal.SIGTERM)
        facts = [json.loads((await asyncio.to_thread(each.communicate))[0].splitlines()[-1]) for each in readers]
    print(facts)
    operations = load(tmp_path / "history.jsonl")
    assert [each["errors"] for each in facts] == [[]] * 4
    assert examine(operations).violations == []
    assert {each.pversions for each in operations if each.f == "read"} == {(1,), (2,)}, "both were read"


async def all_read(path):
    noted = path.read_bytes()
    return all(f'"reader-{each}"'.encode() in noted for each in range(4))


@pytest.mark.parametrize("phase", PHASES)
async def test_swap_is_killed(runs, log, ledger, recorder, phase):
    """A swap that dies at any of its moments shows readers the old generation or the new one, and running it again ends it (F35)."""
    await log.write(ledger.some(80))
    assert (await runs.rebuild()).code == 0
    assert (await runs.rebuild("--no-swap", release=2)).code == 0
    note_swap(recorder, 1)
    stop, path = asyncio.Event(), recorder.path
    reading = [asyncio.create_task(read(runs, ledger, Recorder(path, f"reader-{each}"), stop)) for each in range(3)]
    crash = runs.child(*REPLAY, release=2, REFOLD_FAIL_AT=phase)
    async with ended(crash):
        said = (await asyncio.to_thread(crash.communicate))[0]
        assert crash.returncode == CRASHED, said
    recorder.bite(phase)
    before = phase in {"swap.pointer_locked", "swap.before_commit"}
    assert await runs.states() == ({2: "verified", 1: "live"} if before else {2: "live", 1: "retired"})
    done = await runs.rebuild(release=2)
    assert done.code == 0, done.err
    note_swap(recorder, 2)
    await eventually(lambda: saw(path, 2), "readers of the new generation", 60)
    stop.set()
    await asyncio.gather(*reading)
    operations = load(path)
    assert count_bites(operations)[phase] == 1
    assert examine(operations).violations == []
    assert {each.pversions for each in operations if each.f == "read"} == {(1,), (2,)}
    [view] = await runs.query("SELECT sum(cents) AS cents FROM bank.balance")
    assert view["cents"] == sum(each["cents"] for each in expect(ledger.events, abs)["balance"].values()), (
        "the views have followed"
    )


async def read(runs, ledger, recorder, stop):
    """Read two tables a request, and note whose rows they hold."""
    models = ReadModels(runs.engine, release1.app, kafka=runs.kafka)
    balance, trail = release1.bank.balance.table, release1.bank.trail.table
    totals = {sum(each["cents"] for each in expect(ledger.events, worth)["balance"].values()): number for number, worth in WORTHS}
    while not stop.is_set():
        async with models.session() as session:
            left = await session.scalar(sa.select(sa.func.sum(balance.c.cents)))
            assert await session.scalar(sa.select(sa.func.count()).select_from(trail))
            right = session.info["generations"]["bank"].number
        recorder.note("ok", "read", projection="bank", pversions=tuple(sorted({totals[left], right})))
        await asyncio.sleep(0)
    recorder.close()


WORTHS = ((1, int), (2, abs))


async def saw(path, number):
    return any(each.pversions == (number,) for each in load(path) if each.f == "read")


async def test_rollback_is_killed(runs, log, ledger, monkeypatch):
    """A rollback that dies before its commit did nothing, after it all; `replay status` tells which, since twice would go forward (F35)."""
    await log.write(ledger.some(60))
    assert (await runs.rebuild()).code == 0
    assert (await runs.rebuild(release=2)).code == 0
    for phase, live in (("swap.before_commit", 2), ("swap.after_commit", 1)):
        crash = runs.child("replay", "rollback", "--projection", "bank", "--json", release=2, REFOLD_FAIL_AT=phase)
        async with ended(crash):
            said = (await asyncio.to_thread(crash.communicate))[0]
            assert crash.returncode == CRASHED, said
        status = (await runs.replay("status")).facts
        assert [each["generation"] for each in status["generations"] if each["state"] == "live"] == [live]
    assert (await runs.live()).number == 1
    await runs.judge(ledger.events)
    assert status["audit"][0]["action"] == "rollback"
