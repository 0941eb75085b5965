"""Swaps, rollbacks and the end of old generations, while events come in and readers read."""

import asyncio

import pytest

from eventstore.errors import HeldElsewhere
from replay.cli import main
from replay.cutover import swap
from replay.operator import operating
from tests.bank import release1, release2
from tests.bank.oracle import expect
from tests.bank.runs import ended
from tests.stack.waiting import eventually


async def test_swaps_under_load(runs, log, ledger):
    """Events that come in during build, verification and swap are neither lost nor applied twice."""
    await log.write(ledger.some(200))
    stopping = asyncio.Event()

    async def produce():
        while not stopping.is_set():
            await log.write(ledger.some(10))

    await runs.serve(release1.app)
    async with runs.worker(release1.app), runs.worker(release2.app):
        await runs.current()
        producing = asyncio.create_task(produce())
        done = await runs.rebuild(release=2)
        stopping.set()
        await producing
        assert done.code == 0, done.err
        await runs.current()
        assert await runs.rows() == expect(ledger.events, abs)


async def test_rollback_is_current(runs, log, ledger):
    """The retired generation is fed on, so a rollback shows what came in after the swap; a second one goes forward again."""
    await log.write(ledger.some(100))
    await runs.serve(release1.app)
    async with runs.worker(release1.app), runs.worker(release2.app):
        await runs.current()
        assert (await runs.rebuild(release=2)).code == 0
        await log.write(ledger.some(50))
        await runs.current()
        back = await runs.replay("rollback", "--projection", "bank")
        assert (back.code, back.facts["generation"], back.facts["from"]) == (0, 1, 2), back.err
        await runs.current()
        assert await runs.rows() == expect(ledger.events)
        again = await runs.replay("rollback", "--projection", "bank", release=2)
        assert (again.code, again.facts["generation"]) == (0, 2), again.err
        await runs.current()
        assert await runs.rows() == expect(ledger.events, abs)
    status = await runs.replay("status")
    assert [row["action"] for row in status.facts["audit"]] == ["rollback", "rollback", "swap", "first"]


async def test_rollback_waits_for_nobody(runs, log, ledger, monkeypatch):
    """A rollback to a generation that nobody feeds is refused once the time for it is over, and the live one stays."""
    await log.write(ledger.some(50))
    await runs.serve(release1.app)
    assert (await runs.rebuild(release=2)).code == 0
    await log.write(ledger.some(50))
    async with runs.worker(release2.app):
        await runs.current()
    monkeypatch.setenv("REFOLD_REPLAY_SWAP_S", "0.3")
    done = await runs.replay("rollback", "--projection", "bank")
    assert (done.code, done.error["error"]) == (3, "PreconditionFailed")
    assert await runs.states() == {2: "live", 1: "retired"}


async def test_nothing_to_roll_back(runs, log, ledger):
    """A first generation has nothing to go back to."""
    await log.write(ledger.some(20))
    assert (await runs.replay("rollback", "--projection", "bank")).code == 3
    await runs.serve(release1.app)
    done = await runs.replay("rollback", "--projection", "bank")
    assert done.code == 3
    assert "is the first" in done.error["message"]
    assert (await runs.replay("swap", "--projection", "bank", "--to", "9")).code == 2


async def test_rolls_back_after_skip(runs, log, ledger):
    """What else the audit notes of a generation, such as a record that was skipped, hides from a rollback not where it came from."""
    await log.write(ledger.some(20))
    await runs.serve(release1.app)
    assert (await runs.rebuild(release=2)).code == 0
    await log.write([ledger.move("account-1", kind="poison")])
    async with runs.worker(release2.app):
        await runs.current()
        skipped = await runs.projections("parked", "skip", "--key", "account-1", "--why", "it is wrong", "--json")
        assert skipped.code == 0, skipped.err
    done = await _fed_late(runs, release1, "rollback")
    assert (done.code, done.facts["generation"], done.facts["parked"]) == (0, 1, 1), done.err
    status = await runs.program(main, "status")
    assert "    why: it is wrong" in status.out
    assert "although 1 records are parked in it" in status.out


async def test_counts_late_parking(runs, log, ledger):
    """What a generation sets aside on its way to the live one's vector stops a swap to it, and is counted where it is let through."""
    await log.write(ledger.some(20))
    await runs.serve(release1.app)
    assert (await runs.rebuild(release=2)).code == 0
    await log.write([ledger.move("account-1", kind="poison")])
    await runs.serve(release2.app)
    done = await _fed_late(runs, release1, "swap", "--to", "1")
    assert (done.code, done.error["error"]) == (3, "VerificationFailed")
    assert await runs.states() == {2: "live", 1: "retired"}
    done = await runs.replay("swap", "--projection", "bank", "--to", "1", "--accept-parked")
    assert (done.code, done.facts["parked"]) == (0, 1), done.err


async def test_refuses_unfed_behind(runs, log, ledger):
    """A swap to a verified generation that events came past is refused at once, since nobody feeds it, and says what takes it there."""
    await log.write(ledger.some(20))
    await runs.serve(release1.app)
    assert (await runs.rebuild("--no-swap", release=2)).code == 0
    await log.write([ledger.move("account-1")])
    await runs.serve(release1.app)
    done = await runs.replay("swap", "--projection", "bank", "--to", "2", release=2)
    assert (done.code, done.error["error"]) == (3, "PreconditionFailed")
    assert "offsets behind" in done.error["message"]
    assert (await runs.rebuild(release=2)).facts["generation"] == 2
    assert await runs.states() == {2: "live", 1: "retired"}


async def _fed_late(runs, release, action, *argv):
    """Run `replay` with *action*, and feed *release* only once it holds the pointer and waits."""
    asked = asyncio.create_task(runs.replay(action, "--projection", "bank", *argv))

    async def is_held():
        return asked.done() or not await runs.query(
            "SELECT 1 FROM projections.pointer WHERE projection = 'bank' FOR UPDATE SKIP LOCKED"
        )

    await eventually(is_held, f"{action} holds the pointer")
    async with runs.worker(release.app):
        return await asked


async def test_says_unfed(runs, log, ledger):
    """Whoever makes a generation live that nobody feeds is told so, and of which release a worker is needed."""
    await log.write(ledger.some(20))
    await runs.serve(release1.app)
    assert (await runs.rebuild("--no-swap", release=2)).code == 0
    done = await runs.replay("swap", "--projection", "bank", "--to", "2", release=2)
    assert done.code == 0
    assert "nobody feeds bank g2" in done.err
    assert (await runs.live()).fingerprint in done.err


async def test_views_follow(runs, log, ledger):
    """The views for people follow the swap and the rollback."""
    await log.write(ledger.some(50))
    await runs.serve(release1.app)
    assert (await runs.rebuild(release=2)).code == 0
    turnover = "SELECT sum(cents) AS cents FROM bank.balance"
    assert await runs.query(turnover) == [{"cents": sum(e["cents"] for e in expect(ledger.events, abs)["balance"].values())}]
    assert (await runs.replay("rollback", "--projection", "bank")).code == 0
    assert await runs.query(turnover) == [{"cents": sum(e["cents"] for e in expect(ledger.events)["balance"].values())}]


async def test_collects_beside_workers(runs, log, ledger):
    """`gc` keeps what is in its grace time, drops it when forced, and the workers that fed it go on with the rest."""
    await log.write(ledger.some(50))
    async with runs.worker(release1.app):
        await runs.current()
        assert (await runs.rebuild()).code == 0
        assert (await runs.replay("gc")).facts == []
        forced = await runs.replay("gc", "--force")
        assert [each["generation"] for each in forced.facts] == [1]
        await log.write(ledger.some(50))
        await runs.current()
        assert await runs.rows() == expect(ledger.events)
    assert await runs.states() == {2: "live", 1: "dropped"}


async def test_keeps_what_came_back(runs, log, ledger, tmp_path):
    """While `gc` is about to drop a generation nobody can roll back to it, and while somebody does, `gc` leaves the projection alone."""
    await log.write(ledger.some(50))
    await runs.serve(release1.app)
    assert (await runs.rebuild(release=2)).code == 0
    asleep = tmp_path / "asleep"
    child = runs.child("replay", "gc", "--force", "--json", REFOLD_PAUSE_AT=f"gc.before_drop:{asleep}")
    async with ended(child):
        await eventually(lambda: asyncio.to_thread(asleep.exists), "gc is about to drop")
        assert (await runs.replay("rollback", "--projection", "bank")).code == 5

    async def is_free():
        try:
            async with operating(runs.engine, "bank"):
                return True
        except HeldElsewhere:
            return False

    await eventually(is_free, "the server ends the session of the process that was killed")
    async with operating(runs.engine, "bank"):
        held = await runs.replay("gc", "--force", "--projection", "bank")
        assert (held.code, held.error["error"]) == (5, "HeldElsewhere")
        assert (await runs.replay("gc", "--force")).facts == []
    assert (await runs.replay("rollback", "--projection", "bank")).code == 0
    assert [each["generation"] for each in (await runs.replay("gc", "--force")).facts] == [2]
    assert await runs.rows() == expect(ledger.events)


async def test_grace_ends(runs, log, ledger):
    """A generation past its grace time is no longer fed, and gc drops it."""
    await log.write(ledger.some(50))
    async with runs.worker(release1.app) as supervisor:
        await runs.current()
        assert (await runs.rebuild("--grace", "0")).code == 0

        async def only_new():
            return [each.generation.number for each in supervisor.workers] == [2]

        await eventually(only_new, "the worker leaves the retired generation")
    assert [each["generation"] for each in (await runs.replay("gc")).facts] == [1]


async def test_refuses_unfed_retired(runs, log, ledger):
    """A rollback to a generation past its grace time that events came past is refused at once: workers of its release don't feed it."""
    await log.write(ledger.some(20))
    await runs.serve(release1.app)
    assert (await runs.rebuild("--grace", "0", release=2)).code == 0
    assert (await runs.replay("rollback", "--projection", "bank")).code == 0, "it is where the live one is"
    assert (await runs.rebuild("--grace", "0", release=2)).code == 0
    await log.write([ledger.move("account-1")])
    await runs.serve(release2.app)
    async with runs.worker(release1.app):
        done = await runs.replay("rollback", "--projection", "bank")
    assert (done.code, done.error["error"]) == (3, "PreconditionFailed")
    assert "whose grace time ended" in done.error["message"]
    assert await runs.states() == {3: "live", 2: "retired", 1: "retired"}


async def test_rebuilds_promoted(runs, log, ledger):
    """What `swap` made live has ended its replay: the same command with the same code rebuilds it."""
    await log.write(ledger.some(20))
    await runs.serve(release1.app)
    assert (await runs.rebuild("--no-swap", release=2)).code == 0
    assert (await runs.replay("swap", "--projection", "bank", "--to", "2", release=2)).code == 0
    done = await runs.rebuild(release=2)
    assert (done.code, done.facts["generation"]) == (0, 3), done.err


async def test_swap_needs_vector(runs, log, ledger):
    """A swap whose target has not reached the live offsets in time changes nothing."""
    await log.write(ledger.some(50))
    await runs.serve(release1.app)
    assert (await runs.rebuild(release=2)).code == 0
    retired = (await runs.generations())[1]

    async def never(vector):
        await asyncio.Event().wait()

    with pytest.raises(Exception, match="did not reach"):
        await swap(runs.engine, retired, never, action="swap", grace_s=1, limit_s=0.1, detail={})
    assert await runs.states() == {2: "live", 1: "retired"}
