"""What a replay refuses, with which exit code, and that nothing changed."""

import asyncio
import signal

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from projections.control.catalogue import describe_actor
from tests.bank.oracle import expect
from tests.bank.release1 import app
from tests.bank.runs import ended
from tests.stack.waiting import eventually

REPLAY = ("replay", "--projection", "bank", "--from-beginning")


async def test_unknown_projection(runs, log):
    """An unknown projection is a usage error that names the nearest one."""
    done = await runs.replay("--projection", "bnak", "--from-beginning")
    assert (done.code, done.error["error"]) == (2, "UsageError")
    assert "Did you mean 'bank'?" in done.error["message"]


@pytest.mark.parametrize("argv", [("--projection", "bank"), ("--from-beginning",)])
async def test_says_from_where(runs, log, argv):
    """A replay must be told which projection and that it begins at zero."""
    assert (await runs.replay(*argv)).code == 2


async def test_missing_topic(runs):
    """A topic that does not exist is refused by name, and no generation is made."""
    done = await runs.rebuild()
    assert (done.code, done.error["error"]) == (3, "TopicMissing")
    assert runs.kafka.events_topic in done.error["message"]
    assert await runs.states() == {}


async def test_truncated_history(runs, log, ledger):
    """A log that does not start at zero is refused with the partition and its first offset; what is live serves on, unharmed (F26)."""
    await log.write(ledger.some(100))
    await runs.serve(app)
    partition = log.partition("account-1")
    await truncate(runs.kafka, partition, 3)
    done = await runs.rebuild()
    assert (done.code, done.error["error"]) == (3, "HistoryIncomplete")
    assert done.error["cut"] == [f"{runs.kafka.events_topic}[{partition}]"]
    assert "starts at 3" in done.error["message"]
    assert await runs.states() == {1: "live"}
    await runs.judge(ledger.events)


async def test_truncated_meanwhile(runs, log, ledger, tmp_path):
    """A build whose next offset is deleted under its hands says so and jumps nowhere; what it was built beside still serves (F26)."""
    await log.write(ledger.some(100))
    assert (await runs.rebuild()).code == 0
    asleep = tmp_path / "asleep"
    child = runs.child("replay", "--projection", "bank", "--from-beginning", "--json", REFOLD_PAUSE_AT=f"replay.claimed:{asleep}")
    async with ended(child):
        await eventually(lambda: exists(asleep), "the build is about to read", 60)
        await truncate(runs.kafka, log.partition("account-1"), 3)
        child.send_signal(signal.SIGCONT)
        said = (await asyncio.to_thread(child.communicate))[0]
    assert child.returncode == 3, said
    assert "no longer has offset" in said
    assert await runs.states() == {2: "building", 1: "live"}
    await runs.judge(ledger.events)
    again = await runs.rebuild()
    assert (again.code, again.error["error"]) == (3, "HistoryIncomplete"), "nor does it go on where the log now begins"


async def test_unreachable_kafka(runs, monkeypatch):
    """A broker that does not answer is exit code 6 with its address."""
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    done = await runs.rebuild()
    assert (done.code, done.error["error"]) == (6, "Unreachable")
    assert "127.0.0.1:9" in done.error["message"]


async def test_unreachable_postgres(runs, monkeypatch):
    """A database server that does not answer is exit code 6 with its address and without its password."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", "postgresql://someone:secret@127.0.0.1:9/none")
    for done in (await runs.rebuild(), await runs.projections("list", "--json"), await runs.replay("gc")):
        assert (done.code, done.error["error"]) == (6, "Unreachable")
        assert "127.0.0.1:9" in done.error["message"]
        assert "secret" not in done.err


async def test_missing_migration(runs, log, databases, postgres_dsn, monkeypatch):
    """A database without the schema is exit code 3 with the command that makes it, for every program."""
    name = postgres_dsn.rpartition("/")[2] + "_bare"
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", databases.create(name))
    try:
        for done in (
            await runs.rebuild(),
            await runs.replay("gc"),
            await runs.replay("status"),
            await runs.projections("list", "--json"),
            await runs.projections("parked", "--json"),
            await runs.projections("plan", "--json", "--app", "tests.bank.release1:app"),
        ):
            assert (done.code, done.error["error"]) == (3, "MigrationMissing")
            assert "eventstore migrate" in done.error["message"]
    finally:
        databases.drop(name)


async def test_second_operator(runs, log, ledger, tmp_path):
    """Whoever comes second gets exit code 5 with the first one's name, pid and since when, changes nothing, and is let in later (F36)."""
    await log.write(ledger.some(50))
    assert (await runs.rebuild()).code == 0
    assert (await runs.rebuild("--grace", "900")).code == 0
    asleep = tmp_path / "asleep"
    first = runs.child(*REPLAY, release=2, REFOLD_PAUSE_AT=f"swap.before_commit:{asleep}")
    async with ended(first):
        await eventually(lambda: exists(asleep), "the first operator is in midst of a swap", 60)
        before = await runs.states()
        for argv in (REPLAY[1:], ("rollback", *REPLAY[1:3]), ("swap", *REPLAY[1:3], "--to", "1")):
            done = await runs.replay(*argv)
            assert (done.code, done.error["error"]) == (5, "HeldElsewhere")
            assert f"pid {first.pid}" in done.error["message"]
            assert f"by refold replay {describe_actor().partition(' pid')[0]}" in done.error["message"]
            assert " UTC" in done.error["message"]
        assert await runs.states() == before
        first.send_signal(signal.SIGCONT)
        said = (await asyncio.to_thread(first.communicate))[0]
        assert first.returncode == 0, said
    await runs.judge(ledger.events, abs)
    assert (await runs.replay("rollback", "--projection", "bank")).code == 0
    await runs.judge(ledger.events)


async def test_killed_operator(runs, log, ledger, tmp_path):
    """The lock of an operator who was killed is gone with them; one who sleeps keeps it (F36)."""
    await log.write(ledger.some(50))
    assert (await runs.rebuild()).code == 0
    asleep = tmp_path / "asleep"
    first = runs.child(*REPLAY, release=2, REFOLD_PAUSE_AT=f"replay.building:{asleep}")
    async with ended(first):
        await eventually(lambda: exists(asleep), "the first operator sleeps", 60)
        assert (await runs.rebuild(release=2)).code == 5
        first.kill()
        await asyncio.to_thread(first.communicate)

    async def is_let_in():
        return (await runs.rebuild(release=2)).code == 0

    await eventually(is_let_in, "the second operator is let in", 60)
    assert await runs.states() == {2: "live", 1: "retired"}
    await runs.judge(ledger.events, abs)


async def test_interrupted(runs, log, ledger, tmp_path):
    """Ctrl-C ends a replay with 130 and says what stays and how to go on; what was live serves, and the same command goes on."""
    await log.write(ledger.some(50))
    assert (await runs.rebuild()).code == 0
    asleep = tmp_path / "asleep"
    child = runs.child(*REPLAY, release=2, REFOLD_PAUSE_AT=f"replay.building:{asleep}")
    async with ended(child):
        await eventually(lambda: exists(asleep), "the build sleeps", 60)
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGCONT)
        said = (await asyncio.to_thread(child.communicate))[0]
    assert child.returncode == 130, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    assert await runs.states() == {2: "building", 1: "live"}
    assert (await runs.rebuild(release=2)).facts["generation"] == 2


async def test_crowd(runs, log, ledger):
    """Of four operators who start at once each either does its work alone or is told who is at it: no swap is done twice at once (F36)."""
    await log.write(ledger.some(100))
    assert (await runs.rebuild()).code == 0
    crowd = [runs.child(*REPLAY, "--json") for _ in range(4)]
    async with ended(*crowd):
        said = [(await asyncio.to_thread(each.communicate))[0] for each in crowd]
    codes = [each.returncode for each in crowd]
    assert set(codes) <= {0, 5}, said
    assert 0 in codes
    swaps = await runs.query("SELECT from_generation, to_generation FROM projections.audit WHERE action = 'swap' ORDER BY id")
    assert [each["to_generation"] for each in swaps][:-1] == [each["from_generation"] for each in swaps][1:], (
        "one after the other"
    )
    assert len(swaps) - 1 <= codes.count(0)
    await runs.judge(ledger.events)


async def test_changed_by_hand(runs, log, ledger):
    """Rows of the live generation that were changed by hand are found, shown, and block the swap until they are accepted."""
    await log.write(ledger.some(100))
    await runs.serve(app)
    await runs.query("UPDATE rm_bank_g1.balance SET cents = cents + 1 WHERE account = 'account-1'")
    await runs.query("DELETE FROM rm_bank_g1.trail WHERE stream = 'account-2'")
    done = await runs.rebuild()
    assert (done.code, done.error["error"]) == (3, "VerificationFailed")
    tables = {each["table"]: each for each in done.error["tables"]}
    assert (tables["balance"]["changed"], tables["trail"]["only_new"], tables["kind_total"]["equal"]) == (1, 1, True)
    [sample] = tables["balance"]["samples"]
    assert sample["live"]["cents"] == sample["new"]["cents"] + 1
    assert (await runs.live()).number == 1
    done = await runs.rebuild("--accept-differences")
    assert done.code == 0, done.err
    assert await runs.rows() == expect(ledger.events)


async def test_dry_run(runs, log, ledger):
    """A dry run prints the plan and changes nothing."""
    await log.write(ledger.some(50))
    done = await runs.rebuild("--dry-run")
    assert done.code == 0
    assert (done.facts["step"], done.facts["partitions"], done.facts["live"]) == ("create", 4, None)
    assert done.facts["records"] >= 50
    assert await runs.states() == {}


async def test_no_swap(runs, log, ledger):
    """--no-swap stops at the verified build; the same command without it goes on from there."""
    await log.write(ledger.some(100))
    await runs.serve(app)
    done = await runs.rebuild("--no-swap", release=2)
    assert (done.code, done.facts["state"]) == (0, "verified")
    assert await runs.states() == {2: "verified", 1: "live"}
    async with runs.worker(app):
        await log.write(ledger.some(30))
        await runs.current()
        done = await runs.rebuild(release=2)
    assert (done.code, done.facts["generation"]) == (0, 2), done.err
    assert await runs.rows() == expect(ledger.events, abs)


async def test_other_code_abandons(runs, log, ledger):
    """A build of other code is abandoned, never filled up by this code, and gc drops it."""
    await log.write(ledger.some(100))
    assert (await runs.rebuild("--no-swap", release=1)).code == 0
    done = await runs.rebuild(release=2)
    assert (done.code, done.facts["generation"]) == (0, 2), done.err
    assert await runs.states() == {2: "live", 1: "failed"}
    done = await runs.replay("gc")
    assert done.facts == [{"projection": "bank", "generation": 1, "was": "failed"}]
    assert await runs.query("SELECT 1 FROM pg_namespace WHERE nspname = 'rm_bank_g1'") == []


async def exists(path):
    return path.exists()


async def truncate(settings, partition, before):
    client = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await client.start()
    try:
        where = TopicPartition(settings.events_topic, partition)
        await client.delete_records({where: RecordsToDelete(before_offset=before)})
    finally:
        await client.close()
