"""A replay from the command to the swap, on real servers."""

from tests.bank.oracle import expect


async def test_rebuilds_and_swaps(runs, log, ledger):
    """A replay with the next release's code makes its rows live and retires the old generation."""
    from tests.bank.release1 import app

    await log.write(ledger.some(300))
    await runs.serve(app)
    assert await runs.rows() == expect(ledger.events)
    done = await runs.rebuild(release=2)
    assert (done.code, done.facts["state"]) == (0, "live"), done.err
    assert await runs.rows() == expect(ledger.events, abs)
    assert await runs.states() == {2: "live", 1: "retired"}


async def test_replays_same_code(runs, log, ledger):
    """The same code over the same events gives equal rows, and the report says so."""
    from tests.bank.release1 import app

    await log.write(ledger.some(300))
    await runs.serve(app)
    done = await runs.rebuild()
    assert done.code == 0, done.err
    assert done.facts["verification"]["equal"] is True
    assert await runs.rows() == expect(ledger.events)
