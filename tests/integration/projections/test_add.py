"""Tables that rows are added to, on real servers: live, rebuilt, and when a key is taken."""

from tests.bank.release3 import app


def expect_entries(events):
    """Give the diary of *events*, by reference."""
    found = {}
    for each in events:
        if each.type != "money-moved" or each.data["kind"] == "fee":
            continue
        reference, amount = f"{each.stream}/{each.version}", each.data["amount"]
        found[reference] = amount
        if each.data["kind"] == "payment":
            found[f"{reference}/mirror"] = -amount
    return found


async def entries(runs):
    """Give the live diary, by reference."""
    live = await runs.live()
    return {row["reference"]: row["amount"] for row in await runs.query(f"SELECT * FROM {live.schema_name}.entry")}


async def test_live_and_rebuilt(runs, log, ledger, monkeypatch):
    """A live worker and a rebuild, committed in small pieces and followed by more events, hold every event's rows once."""
    await log.write(ledger.some(200))
    await runs.serve(app)
    assert await entries(runs) == expect_entries(ledger.events)
    monkeypatch.setenv("REFOLD_REPLAY_COMMIT_ROWS", "20")
    await log.write(ledger.some(100))
    done = await runs.rebuild(release=3)
    assert done.code == 0, done.err
    assert await entries(runs) == expect_entries(ledger.events)
    assert await runs.query("SELECT 1 FROM pg_indexes WHERE indexname = 'entry_pkey' AND schemaname = 'rm_bank_g2'")


async def test_taken_key(runs, log, ledger):
    """An event whose row's key is taken is parked by a live worker; a rebuild refuses to end, names the table, and swaps nothing."""
    await log.write([ledger.move("a"), ledger.move("b")])
    await runs.serve(app)
    await log.write([ledger.move("a", kind="again"), ledger.move("a"), ledger.move("b")])
    async with runs.worker(app):
        await runs.current()
    reasons = [each["reason"] for each in await runs.parked()]
    assert len(reasons) == 2
    assert "has a row under key 'a/1' already" in reasons[0]
    assert set(await entries(runs)) == {"a/1", "b/1", "b/2"}
    done = await runs.rebuild("--accept-parked", release=3)
    assert (done.code, done.error["error"]) == (3, "VerificationFailed")
    assert "entry" in done.error["message"]
    assert "a/1" in done.error["message"]
    assert (await runs.live()).number == 1
