"""Questions about rows: which events made them, and where two generations differ."""

import pytest

from replay.cli import main
from tests.bank.log import Ledger
from tests.bank.oracle import expect
from tests.bank.release1 import app


async def test_explains_row(runs, log, ledger):
    """The events behind a row are shown in order with the row after each, and the row that they give is the stored one."""
    made = [ledger.move("ada", 5), ledger.move("bob", 1), ledger.move("ada", 7), ledger.note("account-closed", "ada")]
    made.append(ledger.move("ada", 9))
    await log.write(made)
    await runs.serve(app)
    done = await runs.replay("why", "--projection", "bank", "account=ada")
    assert done.code == 0, done.err
    assert [each["effect"] for each in done.facts["causes"]] == ["created", "changed", "deleted", "created"]
    assert [(each["row"] or {}).get("cents") for each in done.facts["causes"]] == [5, 12, None, 9]
    assert [each["version"] for each in done.facts["causes"]] == [1, 2, 3, 4]
    assert {each["partition"] for each in done.facts["causes"]} == {log.partition("ada")}
    assert (done.facts["stored"], done.facts["agrees"]) == ({"account": "ada", "cents": 9, "moves": 1}, True)
    assert done.facts["causes"][0]["handler"].startswith("tests.bank.release1:moved:")
    nobody = await runs.program(main, "why", "--projection", "bank", "account=nobody", "--app", "tests.bank.release1:app")
    assert (nobody.code, "no event ever reached this row" in nobody.out) == (0, True)
    last = await runs.replay("why", "--projection", "bank", "account=ada", "--last", "1")
    assert (last.facts["events"], len(last.facts["causes"])) == (4, 1)


async def test_explains_shared_row(runs, log, ledger):
    """A row that is folded from many streams is explained over all partitions, in the order in which the events were recorded."""
    await log.write(ledger.some(120))
    await runs.serve(app)
    done = await runs.replay("why", "--projection", "bank", "kind=fee")
    fees = [each for each in ledger.events if each.data.get("kind") == "fee"]
    assert [each["version"] for each in done.facts["causes"]] == [each.version for each in fees]
    assert done.facts["folded"] == expect(ledger.events)["kind_total"]["fee"]
    assert done.facts["agrees"] is True


async def test_explains_parked(runs, log, ledger):
    """An event that was parked, and those behind it, are shown as what had no effect."""
    await log.write([ledger.move("ada", 5), ledger.move("ada", 1, "poison"), ledger.move("ada", 2)])
    await runs.serve(app)
    done = await runs.replay("why", "--projection", "bank", "account=ada")
    assert [each["effect"] for each in done.facts["causes"]] == ["created", "parked", "parked"]
    assert done.facts["agrees"] is True


async def test_finds_hand(runs, log, ledger):
    """A row that was changed by hand is exit code 3, with the row that the events give and the command that mends it."""
    await log.write([ledger.move("ada", 5)])
    await runs.serve(app)
    await runs.query("UPDATE rm_bank_g1.balance SET cents = 6")
    done = await runs.replay("why", "--projection", "bank", "account=ada")
    assert (done.code, done.facts["agrees"], done.facts["folded"]["cents"]) == (3, False, 5)
    assert "replay repair --projection bank account=ada" in done.error["message"]


async def test_explains_added(runs, log):
    """A row of a table that is only added to is explained by the event that made it."""
    from tests.bank.release3 import app as diary

    made = Ledger()
    await log.write([made.move("ada", 5), made.move("ada", 7, "payment")])
    await runs.serve(diary)
    done = await runs.replay("why", "--projection", "bank", "reference=ada/2/mirror", release=3)
    [cause] = done.facts["causes"]
    assert (done.code, cause["effect"], cause["row"]["amount"], done.facts["agrees"]) == (0, "created", -7, True)


@pytest.mark.parametrize("key", [("cents=5",), ("account",), ("account=a", "kind=b")])
async def test_refuses_key(runs, log, key):
    """What is no table's key is a usage error that names the keys there are."""
    done = await runs.replay("why", "--projection", "bank", *key)
    assert (done.code, done.error["error"]) == (2, "UsageError")


async def test_differs(runs, log, ledger):
    """The difference of two generations is counted by table, sampled, and each sample explained by its events."""
    await log.write(ledger.some(100))
    await runs.serve(app)
    assert (await runs.rebuild("--no-swap", release=2)).code == 0
    done = await runs.replay("diff", "--projection", "bank", "g1", "2", release=2)
    assert (done.code, done.facts["apart"]) == (0, {}), done.err
    tables = {each["table"]: each for each in done.facts["tables"]}
    before, after = expect(ledger.events)["balance"], expect(ledger.events, abs)["balance"]
    assert tables["balance"]["changed"] == len([each for each in before if before[each] != after[each]])
    assert (tables["trail"]["equal"], tables["kind_total"]["equal"]) == (True, True)
    assert len(tables["balance"]["samples"]) == len(done.facts["why"]) == 3
    assert all(each["agrees"] for each in done.facts["why"])
    assert done.facts["why"][0]["causes"][-1]["row"] == tables["balance"]["samples"][0]["new"]


async def test_says_apart(runs, log, ledger):
    """Generations at different vectors are compared all the same, and it is said by how many records they are apart."""
    await log.write(ledger.some(60))
    await runs.serve(app)
    assert (await runs.rebuild("--no-swap", release=2)).code == 0
    more = [ledger.move("ada")]
    await log.write(more)
    async with runs.worker(app):
        await runs.current()
    done = await runs.replay("diff", "--projection", "bank", "g2", "g1", "--wait", "0", release=2)
    assert list(done.facts["apart"]) == [f"{runs.kafka.events_topic}[{log.partition('ada')}]"]
    assert done.facts["apart"].popitem()[1] >= 1
    missing = await runs.replay("diff", "--projection", "bank", "g1", "g7")
    assert (missing.code, missing.error["message"].endswith("g2 verified, g1 live")) == (2, True)
