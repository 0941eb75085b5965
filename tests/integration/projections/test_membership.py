"""Who owns a partition: members of the present generation of the group, of the topic that the checkpoint counts, and nobody else."""

import asyncio
import time

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest

from eventstore.log.admin import Admin
from eventstore.log.consumer import start_consumer
from eventstore.log.gate import GroupReader, _Listener
from eventstore.log.topics import ensure_events_topic
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.bank import moody
from tests.bank.log import Ledger
from tests.bank.moody import SLOW
from tests.bank.oracle import expect
from tests.bank.release1 import app
from tests.bank.runs import QUICK, ended, hear
from tests.faults.history import History, judge
from tests.stack.waiting import eventually


async def leave(kafka, group, member):
    """Take one member out of the group, as the broker does after silence."""
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    await client._send_request_to_node(await client.find_coordinator(group), LeaveGroupRequest(group, member))
    await client.close()


class Member:
    """A reader that notes what it claims; a deaf one's heartbeat is so slow that it never hears of anything by itself."""

    def __init__(self, kafka, group, **options):
        self.claims = []
        self.reader = GroupReader(kafka, group, [kafka.events_topic], self._claim, **options)

    async def _claim(self, partitions):
        self.claims.append((time.monotonic(), sorted(each for _, each in partitions)))
        return dict.fromkeys(partitions, 0)

    async def open(self, *, deaf=False):
        await start_consumer(self.reader._consumer, self.reader.settings)
        if deaf:
            self.reader._consumer._coordinator._heartbeat_interval_ms = 600_000
        self.reader._consumer.subscribe(self.reader._topics, listener=_Listener(self.reader))

    async def holds(self, count):
        """Poll until *count* partitions are claimed."""

        async def claimed():
            await self.reader.poll(0.02)
            return self.reader.is_open and len(self.reader.assigned) == count

        await eventually(claimed, f"{count} partitions")


async def test_fenced_asks_before_it_claims(kafka, log):
    """A worker that was put out of its group and then fenced takes nothing from the new owner: it asks, and joins again."""
    group = f"{kafka.topic_prefix}.members"
    first, second = Member(kafka, group), Member(kafka, group)
    try:
        await first.open(deaf=True)
        await first.holds(4)
        coordinator = first.reader._consumer._coordinator
        await leave(kafka, group, coordinator.member_id)
        await second.open()
        await second.holds(4)
        assert first.reader.is_open, "it does not know yet"
        before = len(first.claims)
        first.reader.rejoin()  # what a worker does when it is fenced
        await first.reader.poll(0.0)
        assert len(first.claims) == before
        sharing = asyncio.gather(first.holds(2), second.holds(2))
        await sharing
        assert sorted(first.claims[-1][1] + second.claims[-1][1]) == [0, 1, 2, 3]
    finally:
        await asyncio.gather(first.reader.close(), second.reader.close())


async def test_bounded_in_flight(kafka, log, ledger):
    """A large fetch is handed out in bounded batches, each record once and in order, and nobody says that more was seen than that."""
    await log.write(ledger.some(400))
    member = Member(kafka, f"{kafka.topic_prefix}.bounded", most_bytes=4_000)
    reader, found = member.reader, {each: [] for each in range(kafka.partitions)}
    try:
        await member.open()
        pauses = 0

        async def read_all():
            nonlocal pauses
            batch = await reader.poll(0.05)
            seen = await reader.seen()
            sizes = [len(record.value) + len(record.key) for records in batch.values() for record in records]
            assert sum(sizes) <= 4_000 + max(sizes, default=0) * len(batch)
            for (topic, partition), records in batch.items():
                found[partition] += [record.offset for record in records]
                assert seen[topic, partition] <= found[partition][-1] + 2, "a marker may follow"
            pauses += len(reader._consumer.paused()) > 0
            return sum(map(len, found.values())) >= 400

        await eventually(read_all, "400 records")
        assert pauses > 5, "it fetched no more while records waited"
        assert all(offsets == sorted(set(offsets)) for offsets in found.values())
        assert not reader._consumer.paused()
    finally:
        await reader.close()


async def test_static_member_comes_back(runs, log, ledger):
    """A worker with a name of its own that is stopped and started again gets its partitions back, and the other keeps its own."""
    named = [QUICK.model_copy(update={"instance": name, "session_s": 120.0}) for name in ("one", "two")]
    stays, goes = (Supervisor(app, runs.engine, kafka=runs.kafka, settings=each) for each in named)
    stop_stays, stop_goes = asyncio.Event(), asyncio.Event()
    running = [asyncio.create_task(stays.run(stop_stays)), asyncio.create_task(goes.run(stop_goes))]

    async def share():
        return [len(each.workers) == 1 and len(each.workers[0].partitions) for each in (stays, goes)] == [2, 2]

    await eventually(share, "two partitions each", 60)
    gate = stays.workers[0]._reader.gate
    stop_goes.set()
    await running[1]
    back = Supervisor(app, runs.engine, kafka=runs.kafka, settings=named[1])
    running[1] = asyncio.create_task(back.run(stop := asyncio.Event()))
    await log.write(ledger.some(60))
    await runs.current(60)
    assert stays.workers[0]._reader.gate == gate, "no rebalance"
    assert len(back.workers[0].partitions) == 2
    assert await runs.rows() == expect(ledger.events)
    stop.set()
    stop_stays.set()
    await asyncio.gather(*running)


async def remake(runs, ledger, log):
    """Delete the topic and make it anew with more events than it had, as a different history."""
    async with Admin.open(runs.kafka) as admin:
        await admin.delete_topics([runs.kafka.events_topic])

        async def gone():
            return not await admin.partitions(runs.kafka.events_topic)

        await eventually(gone, "the topic is gone")
    await ensure_events_topic(runs.kafka)
    fresh = Ledger(seed=7)
    await log.write(fresh.some(400))
    return fresh


async def test_topic_made_anew(runs, log, ledger):
    """A topic that was made anew under its name is told from the old one, even when it is longer; a rebuild is the way out."""
    await log.write(ledger.some(40))
    await runs.serve(app)
    before = await runs.rows()
    fresh = await remake(runs, ledger, log)
    child = runs.child("projections", "run")
    async with ended(child):
        said = await hear(child, "made anew")
    assert "replay --projection" in said
    assert await runs.rows() == before
    rebuilt = await runs.rebuild("--accept-differences")
    assert rebuilt.code == 0, rebuilt.err
    async with runs.worker(app):
        await runs.current()
        assert await runs.rows() == expect(fresh.events)


async def test_topic_made_anew_while_fed(runs, log, ledger):
    """A running worker hears within seconds that its topic is another one now."""
    await log.write(ledger.some(40))
    heard = []
    supervisor = Supervisor(app, runs.engine, kafka=runs.kafka, settings=QUICK, say=lambda text, **_: heard.append(text))
    stopping = asyncio.Event()
    task = asyncio.create_task(supervisor.run(stopping))
    await runs.current()
    await remake(runs, ledger, log)

    async def told():
        return any("made anew" in each or "no longer has offset" in each for each in heard)

    await eventually(told, "the worker says so")
    stopping.set()
    await task


SLEEPY = ProjectionSettings(look_s=0.05, poll_s=0.05, session_s=6.0, max_poll_s=1.5, batch_s=0.2)


@pytest.fixture
def slowly(monkeypatch):
    """Make moves of kind `slow` take that many seconds."""
    return lambda seconds: monkeypatch.setenv(SLOW, str(seconds))


async def test_slow_handler(runs, log, ledger, slowly):
    """A handler that sleeps longer than a member may: others take over, and every event is applied once (F33)."""
    slowly(3.0)
    workers = [Supervisor(moody.app, runs.engine, kafka=runs.kafka, settings=SLEEPY) for _ in range(2)]
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(each.run(stopping)) for each in workers]

    async def share():
        return all(each.workers and each.workers[0].partitions for each in workers)

    await eventually(share, "both own partitions", 60)
    gates = [each.workers[0]._reader.gate for each in workers]
    for account in range(3):
        await log.write([ledger.move(f"account-{account}"), ledger.move(f"account-{account}", kind="slow")])
        await log.write([ledger.move(f"account-{account}")])
    wanted = {f"account-{each}": [1, 2, 3] for each in range(3)}

    async def applied():
        rows = await runs.query("SELECT * FROM rm_moody_g1.note")
        return {row["stream"]: row["versions"] for row in rows} == wanted

    await eventually(applied, "every event", 60)
    assert [each.workers[0]._reader.gate for each in workers] != gates, "the fault bit: somebody left the group"
    stopping.set()
    await asyncio.gather(*tasks)
    notes = {row["stream"]: row["versions"] for row in await runs.query("SELECT * FROM rm_moody_g1.note")}
    judge(History(wanted, notes))


async def test_slow_handlers_get_less(runs, log, ledger, slowly):
    """Handlers that are slow one by one get so few records at a time that nobody is put out of the group."""
    slowly(0.03)
    settings = SLEEPY.model_copy(update={"max_poll_s": 4.0})  # all at once would take longer
    supervisor = Supervisor(moody.app, runs.engine, kafka=runs.kafka, settings=settings)
    stopping = asyncio.Event()
    task = asyncio.create_task(supervisor.run(stopping))

    async def owns():
        return supervisor.workers and len(supervisor.workers[0].partitions) == 4

    await eventually(owns, "the partitions")
    worker = supervisor.workers[0]
    worker._most, gate = 20, worker._reader.gate
    await log.write([ledger.move(f"account-{each % 9}", kind="slow") for each in range(150)])

    async def applied():
        return sum(len(row["versions"]) for row in await runs.query("SELECT versions FROM rm_moody_g1.note")) == 150

    await eventually(applied, "150 events")
    assert worker._reader.gate <= gate + 1, "a rebalance of its own making, on a slow machine, at most"
    assert worker._most <= 20
    stopping.set()
    await task
