"""Records that can't be applied, in a replay."""

import pytest

from tests.bank.oracle import expect
from tests.bank.release1 import app


async def test_parks_poison(runs, log, ledger):
    """A poisonous event and the later ones of its stream are parked, the rest is folded, and the swap waits for a waiver."""
    await log.write(ledger.some(60))
    await log.write([ledger.move("account-1", kind="poison"), ledger.move("account-1")])
    await log.write(ledger.some(60))
    await runs.serve(app)
    done = await runs.rebuild(release=2)
    assert (done.code, done.error["error"]) == (3, "VerificationFailed")
    assert "parked" in done.error["message"]
    assert (await runs.live()).number == 1
    done = await runs.rebuild("--accept-parked", release=2)
    assert done.code == 0, done.err
    assert await runs.rows() == expect(ledger.events, abs)


async def test_parks_poison_before_limit(runs, log, ledger):
    """Poison below the offsets that the live generation has, with more records beyond them, does not stall the build."""
    await log.write(ledger.some(60))
    await log.write([ledger.move("account-1", kind="poison")])
    await runs.serve(app)
    await log.write(ledger.some(60))
    done = await runs.rebuild("--accept-parked", release=2)
    assert done.code == 0, done.err
    assert await runs.rows() == expect(ledger.events, abs)


async def test_parks_poison_everywhere(runs, log, ledger, monkeypatch):
    """Poison in every partition, folded in small pieces, neither stops the build nor parks more than it must."""
    monkeypatch.setattr("replay.construction.builder.PIECE", 20)
    for _ in range(4):
        await log.write(ledger.some(50))
        await log.write([ledger.move(f"account-{each}", kind="poison") for each in range(6)])
    done = await runs.rebuild("--accept-parked", release=2)
    assert done.code == 0, done.err
    assert await runs.rows() == expect(ledger.events, abs)


async def test_parks_undecodable(runs, log, ledger):
    """Bytes that are no event are parked with their reason, by a live worker and by a replay alike, and nothing else is lost."""
    await log.write(ledger.some(60))
    await log.write_raw(("stranger", b"\x00not json"))
    await log.write(ledger.some(60))
    await runs.serve(app)
    [parked] = await runs.parked()
    assert parked["value"] == b"\x00not json"
    assert "not one of our CloudEvents" in parked["reason"]
    listed = await runs.projections("parked", "--json")
    assert listed.facts[0]["key"] == "stranger"
    done = await runs.rebuild("--accept-parked", release=2)
    assert done.code == 0, done.err
    assert await runs.rows() == expect(ledger.events, abs)
    assert len(await runs.parked()) == 2


@pytest.mark.parametrize("rows", ["1", "100000"])
async def test_parks_refused_rows(runs, log, ledger, monkeypatch, rows):
    """An event whose row PostgreSQL refuses is parked like any poison, by a live worker and by a replay, at its own offset."""
    monkeypatch.setenv("REFOLD_REPLAY_COMMIT_ROWS", rows)
    await log.write(ledger.some(60))
    too_much = ledger.move("account-1", 2**63)
    await log.write([too_much, ledger.move("account-1"), *ledger.some(60)])
    await runs.serve(app)
    assert (await runs.rebuild("--accept-parked")).code == 0
    waiting = [e for e in ledger.events if e.stream == "account-1" and e.version >= too_much.version]
    handled = [e for e in waiting if e.type != "account-noted"]
    parked = await runs.query('SELECT generation, reason FROM projections.parked ORDER BY generation, "offset"')
    for generation in (1, 2):
        reasons = [each["reason"] for each in parked if each["generation"] == generation]
        assert len(handled) <= len(reasons) <= len(waiting)
        assert "does not fit 64 bits" in reasons[0]
    others = [e for e in ledger.events if e.stream != "account-1" or e.version < too_much.version]
    assert await runs.rows() == expect(others)
