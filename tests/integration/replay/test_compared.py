"""What the comparison of a build with the live generation finds where their tables differ, what it says, and what the audit keeps of it."""

import asyncio
import signal

import pytest

from replay.cli import main
from replay.verification.verify import TableReport, tell_sample
from tests.bank.oracle import expect
from tests.bank.release1 import app
from tests.bank.runs import ended
from tests.stack.waiting import eventually


async def test_compares_shared_columns(runs, log, ledger):
    """Rows are compared by the columns that both releases have: one came, one went, and only the row that differs besides is told."""
    await log.write([*ledger.some(100), ledger.move("account-7", 5)])
    await runs.serve(app)
    done = await runs.rebuild(release=20)
    assert done.code == 0, done.err
    [table] = done.facts["verification"]["tables"]
    assert (table["new_columns"], table["gone_columns"]) == (["fees"], ["moves"])
    assert (table["changed"], table["only_live"], table["only_new"], table["ranges"]) == (1, 0, 0, 1)
    accounts = len(expect(ledger.events)["balance"])
    assert (table["live_rows"], table["new_rows"]) == (accounts, accounts)
    [sample] = table["samples"]
    assert (sample["key"], sample["new"]["cents"]) == (["account-7"], 2 * sample["live"]["cents"])
    assert f"balance account=account-7: cents {sample['live']['cents']} -> {sample['new']['cents']}" in done.err
    assert "replay diff --projection bank g1 g2" in done.err


async def test_additive_is_equal(runs, log, ledger):
    """Where nothing but columns differ the verdict says so, and `replay diff` with the old code finds the same."""
    await log.write([ledger.move("ada", 5, "fee"), ledger.move("bob", 7)])
    await runs.serve(app)
    done = await runs.rebuild("--no-swap", release=20)
    assert done.facts["verification"]["verdict"] == "equal in the columns that both have"
    for release in (1, 20):
        diff = await runs.replay("diff", "--projection", "bank", "g1", "g2", release=release)
        assert diff.code == 0, diff.err
        table = next(each for each in diff.facts["tables"] if each["table"] == "balance")
        assert (table["changed"], table["new_columns"], table["gone_columns"]) == (0, ["fees"], ["moves"])


async def test_audits(runs, log, ledger):
    """The audit keeps what the comparison found and what was accepted beforehand, and `replay status` shows both."""
    await log.write([ledger.move("account-7", 5), ledger.move("bob", kind="poison")])
    await runs.serve(app)
    assert (await runs.rebuild("--accept-parked", release=2)).code == 0
    status = await runs.replay("status")
    detail = status.facts["audit"][0]["detail"]
    assert (detail["accepted"], detail["equal"]) == (["parked records"], True)
    assert "balance: 1 rows equal" in detail["verification"]
    shown = await runs.program(main, "status")
    assert "    accepted beforehand: parked records" in shown.out
    assert "    built from 2 records" in shown.out


@pytest.mark.parametrize(
    ("cents", "said"), [(13, "unlucky: [{'account': 'ada', 'cents': 13}]"), (17, "unasked can't be asked: division by zero")]
)
async def test_checks(runs, log, ledger, cents, said):
    """What a user's check finds stops the swap and is shown, and so does a check that the server can't answer."""
    await log.write([ledger.move("ada", cents)])
    await runs.serve(app)
    done = await runs.rebuild(release=20)
    assert (done.code, done.error["error"]) == (3, "VerificationFailed")
    assert said in done.error["message"]
    assert await runs.states() == {2: "caught_up", 1: "live"}


async def test_tells_aside(runs, log, ledger):
    """Rows that differ where one generation parked what the other has are not put down to a hand or a handler alone."""
    await log.write([ledger.move("ada", 5), ledger.move("bob", 1, "poison")])
    await runs.serve(app)
    await runs.query("UPDATE rm_bank_g1.balance SET cents = 6")
    done = await runs.rebuild("--accept-parked")
    assert (done.code, done.error["error"]) == (3, "VerificationFailed")
    assert "bank g1 lacks 1 records that were parked or skipped" in done.error["message"]
    assert "bank g2 lacks 1 records that were parked or skipped" in done.error["message"]


async def test_parked_after_trial(runs, log, ledger, tmp_path):
    """Records that are parked between the verdict and the swap stop the swap, whichever way it is made; a waiver lets it through."""
    await log.write(ledger.some(20))
    await runs.serve(app)
    asleep = tmp_path / "asleep"
    pause = {"REFOLD_PAUSE_AT": f"replay.verified:{asleep}"}
    child = runs.child("replay", "--projection", "bank", "--from-beginning", "--json", release=2, **pause)
    async with ended(child):
        await eventually(lambda: asyncio.to_thread(asleep.exists), "the verdict is noted", 60)
        await log.write([ledger.move("account-1", kind="poison")])
        await runs.serve(app)
        child.send_signal(signal.SIGCONT)
        said = (await asyncio.to_thread(child.communicate))[0]
    assert child.returncode == 3, said
    assert "parked records" in said
    assert await runs.states() == {2: "verified", 1: "live"}
    done = await runs.replay("swap", "--projection", "bank", "--to", "g2", release=2)
    assert (done.code, done.error["error"]) == (3, "VerificationFailed")
    done = await runs.replay("swap", "--projection", "bank", "--to", "g2", "--accept-parked", release=2)
    assert (done.code, done.facts["parked"]) == (0, 1), done.err


@pytest.mark.parametrize(
    ("live", "new", "told"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}, "t a=1: b 2 -> 3"),
        (None, {"a": 1, "b": "x"}, "t a=1: added, it is a=1 b='x'"),
        ({"a": 1}, None, "t a=1: gone, it was a=1"),
    ],
)
def test_tells_sample(live, new, told):
    """A sampled difference is told by its key and what differs in columns that both have."""
    report = TableReport("t", 1, 1, equal=False, key=("a",), new_columns=("c",))
    assert tell_sample(report, {"key": [1], "live": live, "new": new}) == told
