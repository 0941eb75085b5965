"""Parked records: whose turn it is to mend them, what people may see of them, and that each is applied once."""

import asyncio
import base64
import os
import signal

import pytest

import eventstore.moments
import replay.cli
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.bank import moody
from tests.bank.moody import REFUSED
from tests.bank.runs import ended
from tests.faults.history import History, judge
from tests.stack.waiting import eventually

PATIENT = ProjectionSettings(look_s=0.05, poll_s=0.02, retry_attempts=0)
HASTY = PATIENT.model_copy(update={"retry_attempts": 4, "retry_s": 0.05})
TIRELESS = HASTY.model_copy(update={"retry_attempts": 10_000, "retry_most_s": 0.5})
"""Tries on however long the test takes to mend the cause."""
PARKED = (
    "SELECT partition, \"offset\", topic, convert_from(key, 'utf8') AS key, reason, attempts, retry_at FROM projections.parked "
    'ORDER BY key, "offset"'
)


def refuse(kind=""):
    """Put the handler into a mood."""
    os.environ[REFUSED] = kind


@pytest.fixture(autouse=True)
def mood():
    """Begin and end in a good mood."""
    refuse()
    yield
    del os.environ[REFUSED]


class Scene:
    """Workers of the moody projection."""

    def __init__(self, runs):
        self.runs = runs
        self._tasks = []

    async def join(self, settings=PATIENT):
        supervisor = Supervisor(moody.app, self.runs.engine, kafka=self.runs.kafka, settings=settings)
        stopping = asyncio.Event()
        self._tasks.append((asyncio.create_task(supervisor.run(stopping)), stopping))
        return supervisor

    async def leave(self):
        for _, stopping in self._tasks:
            stopping.set()
        await asyncio.gather(*(task for task, _ in self._tasks))
        self._tasks.clear()

    async def settled(self, events):
        """Return once every event of *events* is a row or is parked."""

        async def done():
            notes = await self.notes()
            return sum(map(len, notes.values())) + len(await self.runs.query(PARKED)) == len(events)

        await eventually(done, f"{len(events)} events applied or parked")

    async def notes(self):
        if not await self.runs.query("SELECT 1 FROM pg_tables WHERE schemaname = 'rm_moody_g1'"):
            return {}
        return {row["stream"]: row["versions"] for row in await self.runs.query("SELECT * FROM rm_moody_g1.note")}

    async def judge(self, wanted):
        """Demand that the checker finds nothing wrong with the notes of the *wanted* versions."""
        judge(History(wanted, await self.notes()))

    async def parked(self, *argv):
        return await self.runs.projections("parked", *argv)


@pytest.fixture
async def scene(runs):
    scene = Scene(runs)
    yield scene
    await scene.leave()


def versions(ledger):
    """Give all versions of each stream."""
    found = {}
    for each in ledger.events:
        found.setdefault(each.stream, []).append(each.version)
    return found


async def park(scene, log, ledger, settings=PATIENT):
    """Park account-1 from version 2 on, beside others that go on."""
    refuse("fee")
    await scene.join(settings)
    moves = [ledger.move("account-1"), ledger.move("account-1", kind="fee"), ledger.move("account-1"), ledger.move("account-2")]
    await log.write(moves)
    await scene.settled(ledger.events)
    await log.write([ledger.move("account-1"), ledger.move("account-2")])
    await scene.settled(ledger.events)
    assert await scene.notes() == {"account-1": [1], "account-2": [1, 2]}


async def test_retry_applies_in_order(scene, log, ledger):
    """A retry applies the key's records in their order, once; later events are applied as any other (F27)."""
    await park(scene, log, ledger)
    still = await scene.parked("retry", "--key", "account-1", "--json")
    assert (still.code, still.facts["mended"], still.facts["left"][0]["waiting"]) == (1, 0, 2)
    assert "fee is not served today" in still.facts["left"][0]["reason"]
    refuse()
    done = await scene.parked("retry", "--all", "--json")
    assert (done.code, done.facts) == (0, {"asked": 1, "mended": 1, "left": []})
    await log.write([ledger.move("account-1")])
    await scene.settled(ledger.events)
    await scene.judge(versions(ledger))
    assert await scene.runs.query(PARKED) == []
    kinds = {row["kind"]: row["moves"] for row in await scene.runs.query("SELECT * FROM rm_moody_g1.by_kind")}
    assert kinds == {"deposit": len(ledger.events) - 1, "fee": 1}, "tables that other keys share are right too"


async def test_skip_is_audited(scene, log, ledger):
    """One record is left out with a reason and a name, and the later ones of its key go on by themselves."""
    await park(scene, log, ledger)
    [head, *_] = await scene.runs.query(PARKED)
    record = f"{head['topic']}/{head['partition']}@{head['offset']}"
    skipped = await scene.parked("skip", record, "--why", "a fee that was cancelled", "--json")
    assert skipped.code == 0, skipped.err
    assert await scene.notes() == {"account-1": [1, 3, 4], "account-2": [1, 2]}
    [audited] = await scene.runs.query("SELECT actor, detail FROM projections.audit WHERE action = 'skip'")
    assert "@" in audited["actor"]
    assert (audited["detail"]["record"], audited["detail"]["why"]) == (record, "a fee that was cancelled")
    assert (await scene.parked("skip", record, "--why", "again")).code == 3


async def test_skip_holds(scene, log, ledger):
    """What was skipped has no effect on repaired rows although its handler would take it by now; only a rebuild tries it again."""
    await park(scene, log, ledger)
    [head, *_] = await scene.runs.query(PARKED)
    record = f"{head['topic']}/{head['partition']}@{head['offset']}"
    assert (await scene.parked("skip", record, "--why", "cancelled", "--json")).code == 0
    refuse()
    asked = ("--json", "--app", "tests.bank.moody:app", "--projection", "moody")
    why = await scene.runs.program(replay.cli.main, "why", *asked, "stream=account-1")
    assert (why.code, [each["effect"] for each in why.facts["causes"]]) == (0, ["created", "skipped", "changed", "changed"]), (
        why.err
    )
    mended = await scene.runs.program(replay.cli.main, "repair", *asked, "stream=account-1")
    assert (mended.code, mended.facts["changed"]) == (0, 0), mended.err
    assert await scene.notes() == {"account-1": [1, 3, 4], "account-2": [1, 2]}
    again = await scene.runs.program(replay.cli.main, *asked, "--from-beginning", "--accept-differences")
    assert again.code == 0, again.err
    [row] = await scene.runs.query("SELECT versions FROM rm_moody_g2.note WHERE stream = 'account-1'")
    assert row["versions"] == [1, 2, 3, 4]


async def test_passes_by_itself(scene, log, ledger):
    """What fails for a while is tried again by itself, with growing pauses and an end; meanwhile other keys go on."""
    await park(scene, log, ledger, TIRELESS)

    async def tried():
        rows = await scene.runs.query(PARKED)
        return rows[0]["attempts"] >= 2

    await eventually(tried, "two attempts")
    refuse()

    async def mended():
        return await scene.notes() == versions(ledger)

    await eventually(mended, "the rest by itself")


async def test_gives_up(scene, log, ledger):
    """After the configured attempts a record waits for a person, and the later ones of its key behind it."""
    await park(scene, log, ledger, HASTY)

    async def rests():
        head, *later = await scene.runs.query(PARKED)
        return head["attempts"] == 4 and head["retry_at"] is None and all(each["attempts"] == 0 for each in later)

    await eventually(rests, "no more attempts")


async def test_waits_for_owner(scene, log, ledger):
    """Without a worker a retry times out with exit code 4 and stays noted; the next owner carries it out."""
    await park(scene, log, ledger)
    await scene.leave()
    refuse()
    out = await scene.parked("retry", "--key", "account-1", "--wait", "0.2")
    assert out.code == 4
    assert "projections run" in out.err
    await scene.join()
    await scene.settled(ledger.events)

    async def mended():
        return await scene.notes() == versions(ledger)

    await eventually(mended, "the noted retry")


async def test_rebalance_while_mending(scene, log, ledger):
    """Workers come while keys are tried again and again: every record is applied once, in order."""
    refuse("fee")
    await scene.join(HASTY.model_copy(update={"retry_attempts": 50, "retry_most_s": 0.1}))
    for account in range(12):
        await log.write([ledger.move(f"account-{account}", kind=kind) for kind in ("deposit", "fee", "payment")])
    await scene.settled(ledger.events)
    await scene.join(HASTY)
    refuse()
    await scene.join(HASTY)
    assert (await scene.parked("retry", "--all", "--wait", "60")).code == 0
    await log.write([ledger.move(f"account-{account}") for account in range(12)])
    await scene.settled(ledger.events)
    assert await scene.notes() == versions(ledger)


async def test_killed_while_mending(scene, log, ledger, runs, tmp_path):
    """A worker that is killed before a retry commits leaves the records parked; the next one applies them once."""
    await park(scene, log, ledger)
    await scene.leave()
    refuse()
    assert (await scene.parked("retry", "--all", "--wait", "0")).code == 4
    child = runs.child("projections", "run", REFOLD_PROJECTIONS_APP="tests.bank.moody:app", REFOLD_FAIL_AT="mend.before_commit")
    async with ended(child):
        await asyncio.to_thread(child.wait, 60)
        assert child.returncode == eventstore.moments.CRASHED
    assert len(await runs.query(PARKED)) == 3
    await _evict(runs)
    await scene.join()

    async def mended():
        return await scene.notes() == versions(ledger)

    await eventually(mended, "the retry by the next owner")


async def test_zombie_mends_nothing(scene, log, ledger, runs, tmp_path):
    """A worker stopped inside a retry is ended by the server or fenced; nothing is applied twice when it wakes."""
    await park(scene, log, ledger)
    await scene.leave()
    refuse()
    assert (await scene.parked("retry", "--all", "--wait", "0")).code == 4
    asleep = tmp_path / "asleep"
    child = runs.child(
        "projections", "run", REFOLD_PROJECTIONS_APP="tests.bank.moody:app", REFOLD_PAUSE_AT=f"mend.before_commit:{asleep}",
        REFOLD_POSTGRES_IDLE_IN_TRANSACTION_S="1",
    )  # fmt: skip

    async def sleeps():
        return asleep.exists()

    async with ended(child):
        await eventually(sleeps, "the worker stops inside the retry")
        await _evict(runs)
        await scene.join()

        async def mended():
            return await scene.notes() == versions(ledger)

        await eventually(mended, "the retry by another worker")
        child.send_signal(signal.SIGCONT)
        await log.write([ledger.move("account-1")])
        await scene.settled(ledger.events)
        assert await scene.notes() == versions(ledger)


async def test_masked(scene, log, ledger):
    """A payload is shown masked: the envelope and the shape of the data; `--reveal` shows the rest."""
    await park(scene, log, ledger)
    listed = await scene.parked("list", "--json")
    assert [each["key"] for each in listed.facts] == ["account-1"] * 3
    assert (await scene.parked("--json")).facts == listed.facts
    head = listed.facts[0]
    record = f"{head['topic']}/{head['partition']}@{head['offset']}"
    shown = await scene.parked("show", record, "--json")
    assert shown.facts["payload"]["data"] == {"account": "<str>", "amount": "<int>", "kind": "<str>"}
    assert shown.facts["payload"]["type"] == "money-moved"
    assert (await scene.parked("show", record, "--reveal", "--json")).facts["payload"]["data"]["kind"] == "fee"
    assert (await scene.parked("show", "nowhere")).code == 2
    assert (await scene.parked("show", record.replace("@", "@9"), "--projection", "moody")).code == 3


async def test_any_bytes(scene, log, ledger, runs):
    """Bytes that nobody can read and NUL are parked once, with every byte; a record without a value is nobody's; all goes on (F28)."""
    await scene.join()
    odd = ledger.move("account-1", kind="a\0b")
    bad = [("account-3", b"{"), ("account-3", b"\x00\xff"), ("account-4", b"null"), ("account-5", b'{"type": "money-moved"}')]
    await log.write([odd])
    await log.write_raw(*bad, ("account-6", None))
    await log.write([ledger.move("account-1"), ledger.move("account-2")])

    async def settled():
        return len(await runs.query(PARKED)) == 6 and await scene.notes() == {"account-2": [1]}

    await eventually(settled, "four undecodable records, a key with NUL and what waits behind it, and one good row")
    reasons = {row["key"]: row["reason"] for row in reversed(await runs.query(PARKED))}
    assert "NUL" in reasons["account-1"]
    values = await runs.query("SELECT value FROM projections.parked WHERE key = 'account-3' ORDER BY \"offset\"")
    assert [bytes(each["value"]) for each in values] == [b"{", b"\x00\xff"]
    shown = await scene.parked("show", "--projection", "moody", "--key", "account-3", "--reveal", "--json")
    assert (shown.code, base64.b64decode(shown.facts["payload"]["base64"])) == (0, b"{"), "every byte is shown, whatever it is"
    await scene.judge({"account-2": [1]})


async def _evict(runs):
    """Take the members out of the moody group."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.protocol.group import LeaveGroupRequest

    [row] = await runs.query("SELECT consumer_group FROM projections.generation")
    client = AIOKafkaAdminClient(bootstrap_servers=runs.kafka.bootstrap)
    await client.start()
    node = await client.find_coordinator(row["consumer_group"])
    [answer] = await client.describe_consumer_groups([row["consumer_group"]])
    for member, *_ in answer.groups[0][5]:
        await client._send_request_to_node(node, LeaveGroupRequest(row["consumer_group"], member))
    await client.close()
