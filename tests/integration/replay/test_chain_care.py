"""What operators do with projections that feed each other: rows explained, repaired and compared, events parked and mended."""

import eventstore.cli
import replay.cli
from tests.bank.chained import app
from tests.integration.replay.test_chain import APP, expect, rebuild, rows, settled, topics
from tests.stack.waiting import eventually


async def ask(runs, *argv, json=True):
    return await runs.program(replay.cli.main, *argv, "--app", APP, *(["--json"] if json else []))


async def test_repairs_chain(runs, log, ledger, kafka, used_topics):
    """Rows made from derived events are explained and repaired like others; a repair upstream says who follows it only by a rebuild."""
    await log.write(ledger.some(150))
    async with runs.worker(app):
        await settled(runs, ledger)
        told = await runs.projections("status", "--json", "--interval", "0.01")
    derived = {each["projection"]: each["derived"] for each in told.facts}
    assert derived["ranks"] is None
    assert derived["accounts"] == {
        "topic": f"{kafka.topic_prefix}.accounts.g1.derived",
        "events": derived["accounts"]["events"],
        "waiting": 0,
    }
    assert derived["accounts"]["events"] > derived["alarms"]["events"] > 0
    used_topics += await topics(kafka)
    cents, found, _ = wanted = expect(ledger.events)
    account = next(each for each, row in found.items() if row["times"] > 1)
    why = await ask(runs, "why", "--projection", "alarms", f"account={account}")
    assert (why.code, why.facts["agrees"]) == (0, True), why.err
    assert why.facts["events"] == len(found[account]["ids"].split())
    for table in ("alarms_g1.alarm SET times = 0", "ranks_g1.rank SET alarms = 0", "accounts_g1.balance SET cents = 0"):
        await runs.query(f"UPDATE rm_{table}")
    one = await ask(runs, "repair", "--projection", "alarms", f"account={account}")
    assert (one.code, one.facts["changed"]) == (0, 1), one.err
    assert one.facts["rebuild"] == ["replay --projection alarms --from-beginning", "replay --projection ranks --from-beginning"]
    rest = await ask(runs, "repair", "--projection", "alarms", "--type", "account-overdrawn")
    assert (rest.code, rest.facts["downstream"]) == (0, ["ranks"]), rest.err
    last = await ask(runs, "repair", "--projection", "ranks", "--since", "2025-12-31")
    assert (last.code, last.facts["untold"], last.facts["downstream"]) == (0, 0, []), last.err
    assert last.facts["changed"] > 0
    told = await ask(runs, "repair", "--projection", "accounts", f"account={account}", json=False)
    assert "alarms, ranks read what followed from these rows, which stays as it was published" in told.out
    assert "run `replay --projection accounts --from-beginning`, then `replay --projection alarms --from-beginning`" in told.out
    again = await ask(runs, "repair", "--projection", "accounts", f"account={account}")
    assert (again.facts["changed"], again.facts["downstream"]) == (0, []), "nothing was mended, so nobody need follow"
    balances, *others = await rows(runs)
    assert others == list(wanted[1:])
    assert balances[account] == cents[account]


async def test_mends_parked(runs, log, ledger, kafka, used_topics):
    """What was parked upstream derives nothing until it is mended, and then reaches every projection of the chain once."""
    await log.write([ledger.move("ada", -5), ledger.move("ada", 1, "poison"), ledger.move("ada", -5), ledger.move("bob", -1)])
    async with runs.worker(app):

        async def are_parked():
            return len(await runs.parked()) == 2 and (await rows(runs) or [{}])[0].get("bob") == -1

        await eventually(are_parked, "the poison and what waits behind it are set aside")
        skipped = await runs.projections(
            "parked", "skip", "--projection", "accounts", "--key", "ada", "--why", "poison", "--json"
        )
        assert skipped.code == 0, skipped.err
        await settled(runs, ledger)
    used_topics += await topics(kafka)


async def test_compares_readers(runs, log, ledger, kafka, used_topics, tmp_path):
    """Two generations that read what two others derived are compared at one level; from an archive of it comes the same once more."""
    await log.write(ledger.some(100))
    async with runs.worker(app):
        await settled(runs, ledger)
        for name in ("accounts", "alarms"):
            done = await rebuild(runs, name)
            assert done.code == 0, done.err
        await log.write(ledger.some(20))
        await settled(runs, ledger)
        found = await ask(runs, "diff", "--projection", "alarms", "g1", "g2", "--wait", "30")
        assert (found.code, found.facts["equal"], found.facts["apart"]) == (0, True, {}), found.err
    place, derived = str(tmp_path / "archive"), f"{kafka.topic_prefix}.accounts.g2.derived"
    kept = await runs.program(eventstore.cli.main, "archive", "run", "--drain", "--topic", derived, "--to", place, "--json")
    assert kept.facts["topics"][derived]["records"] > 0, kept.err
    built = await rebuild(runs, "alarms", "--from-archive", place, "--no-swap")
    assert (built.code, built.facts["verification"]["equal"]) == (0, True), built.err
    used_topics += await topics(kafka)
