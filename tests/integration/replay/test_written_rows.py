"""Questions about rows that SQL handlers wrote: why, repair, diff, and schedules on a real server."""

import pytest

from tests.bank.events import AccountClosed, MoneyMoved
from tests.bank.log import Ledger
from tests.bank.release6 import MISDEED, app, projection

KINDS = {"money-moved": MoneyMoved, "account-closed": AccountClosed}
BANK = ("--projection", "bank")


@pytest.fixture(autouse=True)
def kind_mood(monkeypatch):
    monkeypatch.setenv(MISDEED, "SELECT 1")


async def test_explains_written(runs, log, ledger):
    """The events behind a row that SQL wrote are found among many others, with the row after each, deleted ones too."""
    made = [ledger.move("ada", 5), *ledger.some(700), ledger.move("ada", 7), ledger.note("account-closed", "ada")]
    await log.write([*made, *ledger.some(40), ledger.move("ada", 9)])
    await runs.serve(app)
    done = await runs.replay("why", *BANK, "account=ada", "--table", "balance", release=6)
    assert done.code == 0, done.err
    causes = done.facts["causes"]
    assert [each["effect"] for each in causes] == ["created", "changed", "deleted", "created"]
    assert [(each["row"] or {}).get("cents") for each in causes] == [5, 12, None, 9]
    assert {each["stream"] for each in causes} == {"ada"}
    assert (done.facts["stored"], done.facts["agrees"]) == ({"account": "ada", "cents": 9, "moves": 1}, True)
    assert causes[2]["handler"].startswith("tests.bank.release6:closed:")
    line = await runs.replay("why", *BANK, "stream=ada", "version=2", release=6)
    assert [(each["row"]["amount"], each["data"]["amount"]) for each in line.facts["causes"]] == [(7, 7)]


async def test_tells_hand_and_parked(runs, log, ledger):
    """A row that was changed by hand is found out, and what is parked, with what waits behind it, is shown as having had no effect."""
    await log.write([ledger.move("ada", 5), ledger.move("ada", 1, "refused"), ledger.move("ada", 2)])
    await runs.serve(app)
    asked = ("why", *BANK, "account=ada")
    first = await runs.replay(*asked, release=6)
    assert [each["effect"] for each in first.facts["causes"]] == ["created", "parked"]
    await runs.query("UPDATE rm_bank_g1.balance SET cents = 6")
    done = await runs.replay(*asked, release=6)
    assert (done.code, done.facts["agrees"], done.facts["folded"]["cents"]) == (3, False, 5)


async def test_repairs_written(runs, log, ledger):
    """Rows that SQL wrote are made anew by key, by type and by time, with parked events left out; the others stay as they are."""
    await log.write([*ledger.some(300), ledger.move("ada", 5), ledger.move("ada", 1, "refused"), ledger.move("ada", 2)])
    await runs.serve(app)
    right = await runs.query("SELECT * FROM rm_bank_g1.balance ORDER BY account")
    await runs.query("UPDATE rm_bank_g1.balance SET cents = cents + 1")
    await runs.query("DELETE FROM rm_bank_g1.line WHERE stream = 'ada'")
    tried = await runs.replay("repair", *BANK, "account=ada", "--dry-run", release=6)
    assert (tried.code, tried.facts["changed"]) == (0, 1), tried.err
    one = await runs.replay("repair", *BANK, "account=ada", release=6)
    assert (one.facts["rows"], one.facts["changed"], one.facts["samples"][0]["after"]["cents"]) == (1, 1, 5), one.err
    by_type = await runs.replay("repair", *BANK, "--type", "money-moved", release=6)
    assert (by_type.code, by_type.facts["changed"], by_type.facts["created"]) == (0, len(right) - 1, 1), by_type.err
    assert await runs.query("SELECT * FROM rm_bank_g1.balance ORDER BY account") == right
    again = await runs.replay("repair", *BANK, "--since", "2025-12-31", release=6)
    assert (again.facts["changed"], again.facts["created"], again.facts["deleted"]) == (0, 0, 0)
    await runs.query("INSERT INTO rm_bank_g1.balance VALUES ('nobody', 1, 1)")
    gone = await runs.replay("repair", *BANK, "account=nobody", release=6)
    assert gone.facts["deleted"] == 1


async def test_repairs_beside_worker(runs, log, ledger):
    """While a worker applies events, rows that SQL wrote are repaired at its vector, and in the end all of them are right."""
    await log.write(ledger.some(200, accounts=3))
    async with runs.worker(app):
        await runs.current()
        for _ in range(3):
            await log.write(ledger.some(50, accounts=3))
            done = await runs.replay("repair", *BANK, "--type", "money-moved", release=6)
            assert (done.code, done.facts["changed"], done.facts["created"], done.facts["deleted"]) == (0, 0, 0, 0), done.facts
        await runs.current()
    done = await runs.replay("repair", *BANK, "--since", "2025-12-31", release=6)
    assert (done.code, done.facts["changed"] + done.facts["created"] + done.facts["deleted"]) == (0, 0)


def given(count):
    recorded = [each for each in Ledger().some(count) if each.type in KINDS]
    return [(each.stream, KINDS[each.type](**each.data)) for each in recorded]


async def test_chaos(runs, chaos, replay_equals):
    """SQL handlers give the same rows under many schedules on a real server, crashes included, and nothing is left there."""
    events = given(60)
    assert len(replay_equals(projection, events, runs=6)) == 12
    rows = chaos(projection, seed=3).run(events)
    assert sum(row.moves for row in rows["balance"].values()) <= len(rows["line"])
    assert {stream for stream, _ in rows["line"]} == set(rows["total"])
    left = await runs.query("SELECT relname FROM pg_class WHERE relname IN ('balance', 'line') OR relname LIKE 'touched%%'")
    assert left == []


async def test_chaos_finds(runs, replay_equals):
    """SQL whose rows depend on how records are cut into batches is found out."""
    from tests.bank.careless import projection as careless

    with pytest.raises(AssertionError, match="is not deterministic: the row"):
        replay_equals(careless, given(40))
