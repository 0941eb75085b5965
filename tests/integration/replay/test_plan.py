"""The plan on real servers: what it costs, what changed, and what it refuses before anything is made."""

from tests.bank.release1 import app


async def test_estimates(runs, log, ledger):
    """A plan says what is to be read and how much room it takes, from the log, the brokers and the live generation."""
    await log.write(ledger.some(300))
    await runs.serve(app)
    done = await runs.rebuild("--dry-run", release=2)
    assert done.code == 0, done.err
    facts = done.facts
    assert facts["left"] == facts["records"] >= 300
    assert facts["topic_bytes"] > 10_000
    assert facts["disk_bytes"] >= 8192 * 6, "three tables and their keys"
    assert facts["free_bytes"] > 0
    assert (facts["rate_measured"], facts["rate"]) == (False, 60_000)
    assert facts["changes"] == ["version 1 -> 2", "handler money-moved -> balance changed"]
    assert facts["warnings"] == []


async def test_remembers_rate(runs, log, ledger, monkeypatch):
    """The rate of a rebuild that read enough is what the next plan goes by."""
    monkeypatch.setattr("replay.cost.TELLING", 100)
    await log.write(ledger.some(200))
    await runs.serve(app)
    first = await runs.rebuild()
    assert first.code == 0, first.err
    plan = await runs.rebuild("--dry-run")
    assert (plan.facts["rate_measured"], plan.facts["rate"]) == (True, first.facts["rate"])


async def test_refuses_full_disk(runs, log, ledger, monkeypatch):
    """A build that the disk can't hold beside the reserve is refused with exit code 3, and no generation is made."""
    await log.write(ledger.some(50))
    await runs.serve(app)
    monkeypatch.setenv("REFOLD_REPLAY_DISK_RESERVE_MIB", str(1 << 40))
    done = await runs.rebuild(release=2)
    assert (done.code, done.error["error"]) == (3, "PreconditionFailed")
    assert done.error["needed_bytes"] > 0
    assert "replay gc" in done.error["message"]
    assert await runs.states() == {1: "live"}


async def test_projections_plan(runs, log, ledger):
    """`projections plan` says new, unchanged or needs rebuild, and names what changed since the live generation was made."""
    argv = ("plan", "--json", "--app")
    assert (await runs.projections(*argv, "tests.bank.release1:app")).facts[0]["verdict"] == "new"
    await log.write(ledger.some(20))
    await runs.serve(app)
    [same] = (await runs.projections(*argv, "tests.bank.release1:app")).facts
    assert (same["verdict"], same["changes"]) == ("unchanged", [])
    [other] = (await runs.projections(*argv, "tests.bank.release2:app")).facts
    assert (other["verdict"], other["changes"][1]) == ("needs rebuild", "handler money-moved -> balance changed")
    strict = await runs.projections(*argv, "tests.bank.release2:app", "--strict")
    assert strict.code == 0
    restless = await runs.projections(*argv, "tests.bank.restless:app", "--strict")
    assert (restless.code, restless.error["error"]) == (3, "PreconditionFailed")


async def test_strict(runs, log, ledger):
    """A replay warns of code that may give other rows the next time, and with --strict refuses it."""
    await log.write(ledger.some(20))
    app = ("--app", "tests.bank.restless:app")
    plan = await runs.program(_main(), "--projection", "bank", "--from-beginning", "--dry-run", "--json", *app)
    assert plan.code == 0
    assert "`uuid4()`" in plan.facts["warnings"][0]
    done = await runs.program(_main(), "--projection", "bank", "--from-beginning", "--strict", "--json", *app)
    assert (done.code, done.error["error"]) == (3, "PreconditionFailed")
    assert await runs.states() == {}


def _main():
    from replay.cli import main

    return main
