"""Questions about rows that joins complete: why, repair and diff tell and take the versions that held at the rows' own times."""

import asyncio
from typing import Any

import replay.cli
from tests.bank.log import Ledger, Recorded
from tests.bank.release22 import app

BANK = ("--projection", "bank")
SALES = "SELECT account, count, worth FROM rm_bank_g1.sale ORDER BY account"
RATES = "SELECT currency, cents, extract(minute FROM since)::int AS minute FROM rm_bank_g1.rate ORDER BY 1, 3"


def rate(ledger: Ledger, minute: int, cents: int, currency: str = "EUR") -> Recorded:
    """Set a rate; each currency has a stream of its own."""
    return ledger.note("rate-set", f"rates-{currency}", currency=currency, minute=minute, cents=cents)


def sold(ledger: Ledger, account: str, minute: int, currency: str | None = "EUR", count: int = 1) -> Recorded:
    """Sell something."""
    return ledger.note("thing-sold", account, currency=currency, minute=minute, count=count)


def worth(found: list[dict[str, Any]]) -> dict[str, int | None]:
    """Give what the sales are worth."""
    return {each["account"]: each["worth"] for each in found}


async def test_explains_joined(runs, log, ledger):
    """A joined row is told with its own events, the version that held at its time, what made that one, and until when it held."""
    made = [rate(ledger, 1, 100), rate(ledger, 5, 110), rate(ledger, 5, 120), rate(ledger, 9, 130), rate(ledger, 2, 7, "USD")]
    made += [sold(ledger, "ada", 3), sold(ledger, "ada", 6, count=2), sold(ledger, "bob", 0), sold(ledger, "eve", 3, None)]
    await log.write([*made, rate(ledger, 7, 13), sold(ledger, "joe", 8, "SEK")])
    await runs.serve(app)
    done = await runs.replay("why", *BANK, "account=ada", release=22)
    assert (done.code, done.facts["agrees"]) == (0, True), done.err
    assert [(each["type"], each["row"]["count"]) for each in done.facts["causes"]] == [("thing-sold", 1), ("thing-sold", 3)]
    assert all("worth" not in each["row"] for each in done.facts["causes"])
    [join] = done.facts["joins"]
    assert (join["past"], join["on"]) == ("rate", {"currency": "EUR", "at": "2026-01-01T00:06:00Z"})
    assert (join["key"], join["until"]) == ({"currency": "EUR", "since": "2026-01-01T00:05:00Z"}, "2026-01-01T00:07:00+00:00")
    causes = [(each["data"]["cents"], each["effect"], each["version"]) for each in join["causes"]]
    assert causes == [(110, "created", 2), (120, "changed", 3)]
    assert {each["partition"] for each in join["causes"]} == {log.partition("rates-EUR")}
    assert (join["version"]["cents"], join["gives"], join["aside"], join["note"]) == (120, {"worth": 360}, [], "")
    assert done.facts["folded"] == done.facts["stored"]
    assert done.facts["folded"]["worth"] == 360

    why = ("why", *BANK, "--app", "tests.bank.release22:app")
    said = (await runs.program(replay.cli.main, *why, "account=ada")).out
    place = join["causes"][1]
    assert f"{place['topic']}[{place['partition']}]@{place['offset']}" in said
    assert "joined with rate by currency='EUR' at=2026-01-01T00:06:00+00:00: the version that held then" in said
    assert "gives worth=360 by tests.bank.release22:price" in said
    assert said.rstrip().endswith("the same row is stored")
    said = (await runs.program(replay.cli.main, *why, "account=bob")).out
    assert "nothing was known yet" in said
    assert "the first one holds from 2026-01-01T00:01:00+00:00" in said
    said = (await runs.program(replay.cli.main, *why, "account=eve")).out
    assert "it has no currency to be joined under" in said
    assert "nothing is known at all" in (await runs.program(replay.cli.main, *why, "account=joe")).out


async def test_tells_hands_and_refusals(runs, log, ledger):
    """A parked version is told as one that would decide; a joined column changed by hand is found out, and so is a version's."""
    await log.write([rate(ledger, 1, 100), sold(ledger, "ada", 6)])
    async with runs.worker(app):
        await runs.current()
        for made in (rate(ledger, 4, 13), rate(ledger, 5, 90)):
            await log.write([made])
            await runs.current()
    asked = ("why", *BANK, "account=ada")
    done = await runs.replay(*asked, release=22)
    [join] = done.facts["joins"]
    assert (done.code, done.facts["agrees"], join["gives"]) == (0, True, {"worth": 100}), done.err
    assert [(each["data"]["cents"], each["effect"]) for each in join["aside"]] == [(13, "parked"), (90, "parked")]
    await runs.query("UPDATE rm_bank_g1.sale SET worth = 101")
    done = await runs.replay(*asked, release=22)
    assert (done.code, done.facts["agrees"], done.facts["folded"]["worth"], done.facts["stored"]["worth"]) == (3, False, 100, 101)
    assert "replay repair --projection bank account=ada" in done.error["message"]
    await runs.query("UPDATE rm_bank_g1.sale SET worth = 100")
    await runs.query("UPDATE rm_bank_g1.rate SET cents = 99")
    done = await runs.replay(*asked, release=22)
    assert (done.code, done.facts["agrees"]) == (0, True), "the row is what the log gives"


async def test_mends_joined(runs, log, ledger):
    """A repaired row has what a rebuild would join; versions that a hand changed, removed or made up are put right, with their rows."""
    made = [rate(ledger, 1, 100), rate(ledger, 5, 110), rate(ledger, 7, -1), rate(ledger, 2, 7, "USD")]
    made += [sold(ledger, "ada", 3), sold(ledger, "bob", 6), sold(ledger, "eve", 8), sold(ledger, "joe", 4, "USD")]
    await log.write(made)
    await runs.serve(app)
    right = await runs.query(SALES), await runs.query(RATES)
    assert worth(right[0]) == {"ada": 100, "bob": 110, "eve": 110, "joe": 7}
    asked = ("repair", *BANK)
    await runs.query("UPDATE rm_bank_g1.sale SET worth = 1, count = 1 WHERE account = 'ada'")
    await runs.query("UPDATE rm_bank_g1.sale SET worth = 5 WHERE account = 'joe'")
    await runs.query("UPDATE rm_bank_g1.rate SET cents = 9 WHERE cents = 110")
    await runs.query("UPDATE rm_bank_g1.sale SET worth = 9 WHERE account IN ('bob', 'eve')")
    tried = await runs.replay(*asked, "account=bob", "--dry-run", release=22)
    assert (tried.code, tried.facts["changed"], tried.facts["completed"]) == (0, 2, 1), tried.err
    assert worth(await runs.query(SALES)) == {"ada": 1, "bob": 9, "eve": 9, "joe": 5}
    done = await runs.replay(*asked, "account=bob", release=22)
    assert (done.code, done.facts["changed"], done.facts["versions"], done.facts["completed"]) == (0, 2, 2, 1), done.err
    assert {each["row"] for each in done.facts["samples"]} == {
        "sale account=bob",
        "rate currency=EUR since=2026-01-01 00:05:00+00:00",
    }
    assert worth(await runs.query(SALES)) == {"ada": 1, "bob": 110, "eve": 110, "joe": 5}
    await runs.query("DELETE FROM rm_bank_g1.rate WHERE cents = 100")
    await runs.query("INSERT INTO rm_bank_g1.rate VALUES ('EUR', '2026-01-01T00:02Z', 1)")
    one = await runs.replay(*asked, "account=ada", release=22)
    assert (one.facts["created"], one.facts["deleted"], one.facts["changed"]) == (1, 1, 1), one.err
    by_type = await runs.replay(*asked, "--type", "thing-sold", release=22)
    assert (by_type.facts["changed"], by_type.facts["versions"]) == (1, 3), by_type.err
    assert (await runs.query(SALES), await runs.query(RATES)) == right
    await runs.query("UPDATE rm_bank_g1.rate SET cents = 5 WHERE cents = 100")
    await runs.query("UPDATE rm_bank_g1.sale SET worth = 5 WHERE account = 'ada'")
    version = await runs.replay(*asked, "currency=EUR", "since=2026-01-01T00:01:00Z", release=22)
    assert (version.facts["rows"], version.facts["changed"], version.facts["completed"]) == (1, 1, 1), version.err
    again = await runs.replay(*asked, "--since", "2025-12-31", release=22)
    assert (again.facts["changed"], again.facts["created"], again.facts["deleted"]) == (0, 0, 0), again.facts
    assert (await runs.query(SALES), await runs.query(RATES)) == right


async def test_mends_beside_worker(runs, log, ledger):
    """While rates and sales come, and rows change the currency they are joined under, repairs find nothing wrong and spoil nothing."""
    stopping = asyncio.Event()
    minute = 0

    def some() -> list[Recorded]:
        nonlocal minute
        minute += 1
        made = [rate(ledger, minute, 100 + minute, "EUR" if minute % 2 else "USD") for _ in range(2)]
        return [*made, *(sold(ledger, name, minute, "USD" if minute % 3 else "EUR") for name in ("ada", "bob"))]

    async def produce():
        while not stopping.is_set():
            await log.write(some())

    await log.write(some())
    async with runs.worker(app):
        await runs.current()
        producing = asyncio.create_task(produce())
        try:
            for _ in range(3):
                done = await runs.replay("repair", *BANK, "--type", "thing-sold", release=22)
                assert (done.code, done.facts["changed"], done.facts["completed"]) == (0, 0, 0), (done.err, done.facts)
        finally:
            stopping.set()
            await producing
        await runs.current(60)
    done = await runs.replay("repair", *BANK, "--since", "2025-12-31", release=22)
    assert (done.facts["changed"], done.facts["created"], done.facts["deleted"]) == (0, 0, 0), done.facts


async def test_refuses_other_joins(runs, log, ledger):
    """Another join is other code: rows are not repaired by it, and that it gives another row is no verdict on the one that is stored."""
    await log.write([rate(ledger, 1, 100), sold(ledger, "ada", 6)])
    await runs.serve(app)
    done = await runs.replay("repair", *BANK, "account=ada", release=23)
    assert (done.code, "changed code" in done.error["message"]) == (3, True)
    told = await runs.replay("why", *BANK, "account=ada", release=23)
    assert (told.code, told.facts["agrees"], told.facts["folded"]["worth"]) == (0, None, 200)
    assert "was built by other code" in told.facts["obstacle"]


async def test_explains_differences(runs, log, ledger):
    """A joined row that differs between two generations is sampled with the version that the join took."""
    await log.write([rate(ledger, 1, 100), sold(ledger, "ada", 6), sold(ledger, "bob", 0)])
    await runs.serve(app)
    assert (await runs.rebuild("--no-swap", release=23)).code == 0
    done = await runs.replay("diff", *BANK, "g1", "g2", release=23)
    [why] = done.facts["why"]
    assert (done.code, why["key"], why["joins"][0]["gives"], why["agrees"]) == (0, ["ada"], {"worth": 200}, True), done.err
    said = await runs.program(replay.cli.main, "diff", *BANK, "g1", "g2", "--app", "tests.bank.release23:app")
    assert "joined with rate by currency='EUR'" in said.out
