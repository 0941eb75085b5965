"""Rows put right in place, beside workers that go on."""

import asyncio

from tests.bank.log import Ledger
from tests.bank.oracle import expect
from tests.bank.release1 import app

SPOIL = """DO $$ BEGIN
    PERFORM 1 FROM projections.checkpoint ORDER BY topic, partition FOR UPDATE;
    UPDATE rm_bank_g1.kind_total SET total = total + 1 WHERE kind = 'fee';
END $$"""
"""A hand that changes a row between two batches of the worker, which would undo it otherwise."""


async def test_mends_row(runs, log, ledger):
    """A row that was changed by hand is folded anew from its events, with proof of what changed, and nothing else is touched."""
    await log.write(ledger.some(150))
    await runs.serve(app)
    account = next(iter(expect(ledger.events)["balance"]))
    await runs.query("UPDATE rm_bank_g1.balance SET cents = cents + 1")
    tried = await runs.replay("repair", "--projection", "bank", f"account={account}", "--dry-run")
    assert (tried.code, tried.facts["changed"]) == (0, 1), tried.err
    done = await runs.replay("repair", "--projection", "bank", f"account={account}")
    assert (done.code, done.facts["rows"], done.facts["changed"], done.facts["created"]) == (0, 1, 1, 0), done.err
    [sample] = done.facts["samples"]
    assert sample["after"] == expect(ledger.events)["balance"][account]
    assert sample["before"]["cents"] == sample["after"]["cents"] + 1
    rows = await runs.rows()
    assert rows["balance"].pop(account) == sample["after"]
    assert all(row["cents"] == expect(ledger.events)["balance"][key]["cents"] + 1 for key, row in rows["balance"].items())
    again = await runs.replay("repair", "--projection", "bank", f"account={account}")
    assert (again.facts["changed"], again.facts["samples"]) == (0, [])
    audit = (await runs.replay("status")).facts["audit"]
    assert [(each["action"], each["detail"].get("changed")) for each in audit] == [("repair", 1), ("first", None)]


async def test_makes_and_deletes(runs, log, ledger):
    """A row that is missing is made, and one that no event gives is deleted."""
    await log.write(ledger.some(60))
    await runs.serve(app)
    await runs.query("DELETE FROM rm_bank_g1.kind_total WHERE kind = 'fee'")
    await runs.query("INSERT INTO rm_bank_g1.balance VALUES ('nobody', 1, 1)")
    made = await runs.replay("repair", "--projection", "bank", "kind=fee")
    gone = await runs.replay("repair", "--projection", "bank", "account=nobody")
    assert (made.facts["created"], gone.facts["deleted"]) == (1, 1)
    assert await runs.rows() == expect(ledger.events)


async def test_mends_by_type(runs, log, ledger):
    """All rows that events of one type reached are folded from their whole history; the others stay as they are."""
    await log.write([ledger.move("ada", 5), ledger.move("bob", 7), ledger.note("account-closed", "bob"), ledger.move("bob", 3)])
    await runs.serve(app)
    await runs.query("UPDATE rm_bank_g1.balance SET cents = 0")
    done = await runs.replay("repair", "--projection", "bank", "--type", "account-closed")
    assert (done.code, done.facts["rows"], done.facts["changed"]) == (0, 2, 1), "bob's balance and bob's trail"
    rows = (await runs.rows())["balance"]
    assert (rows["ada"]["cents"], rows["bob"]["cents"]) == (0, 3)
    everything = await runs.replay("repair", "--projection", "bank", "--since", "2025-12-31")
    assert everything.facts["changed"] == 1
    assert await runs.rows() == expect(ledger.events)
    later = await runs.replay("repair", "--projection", "bank", "--since", "2026-01-01T00:00:01Z")
    assert (later.code, later.facts["rows"]) == (0, 0)


async def test_mends_beside_workers(runs, log, ledger):
    """While events come in and a worker applies them, rows are repaired over and over, and in the end all of them are right."""
    await log.write(ledger.some(100, accounts=3))
    stopping = asyncio.Event()

    async def produce():
        while not stopping.is_set():
            await log.write(ledger.some(10, accounts=3))

    async with runs.worker(app):
        await runs.current()
        producing = asyncio.create_task(produce())
        for _ in range(3):
            await runs.query(SPOIL)
            done = await runs.replay("repair", "--projection", "bank", "kind=fee")
            assert (done.code, done.facts["changed"]) == (0, 1), done.err
            done = await runs.replay("repair", "--projection", "bank", "--type", "account-closed")
            assert (done.code, done.facts["changed"]) == (0, 0), done.facts
        stopping.set()
        await producing
        await runs.current()
        assert await runs.rows() == expect(ledger.events)


async def test_keeps_parked(runs, log):
    """Parked events have no effect on a repaired row either."""
    ledger = Ledger()
    await log.write([ledger.move("ada", 5), ledger.move("ada", 1, "poison"), ledger.move("ada", 2)])
    await runs.serve(app)
    await runs.query("UPDATE rm_bank_g1.balance SET cents = 9")
    done = await runs.replay("repair", "--projection", "bank", "account=ada")
    assert (done.facts["events"], done.facts["failed"], done.facts["samples"][0]["after"]["cents"]) == (3, 0, 5)


async def test_refuses(runs, log, ledger):
    """Changed code, a build that nobody feeds, no selection and two of them are refused, with nothing changed."""
    await log.write(ledger.some(20))
    await runs.serve(app)
    before = await runs.rows()
    assert (await runs.rebuild("--no-swap", release=2)).code == 0
    asked = ("repair", "--projection", "bank", "kind=fee")
    for argv, release, code in (
        (asked, 2, 3),
        ((*asked, "--generation", "2"), 2, 3),
        ((*asked, "--type", "money-moved"), 1, 2),
        (asked[:3], 1, 2),
        ((*asked[:3], "--since", "yesterday"), 1, 2),
        ((*asked[:3], "--type", "money-mved"), 1, 2),
    ):
        done = await runs.replay(*argv, release=release)
        assert done.code == code, done.err
    assert await runs.rows() == before
