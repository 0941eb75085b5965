"""Workers while the broker and the network go wrong, and while they themselves sleep, come and go (F13 to F20).

Some workers reach the broker through a bad network, others don't; writers and the relay never notice. Timeouts are short, since each
fault lasts longer than them.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventstore import KafkaSettings
from eventstore.postgres import open_engine
from projections.feeding.health import judge_life
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.bank.runs import ended
from tests.faults.brokers import Broker
from tests.faults.clusters import Cluster
from tests.faults.operations import require_bites
from tests.faults.system import System
from tests.faults.tally import app
from tests.stack.forks import Child
from tests.stack.proxy import Fault
from tests.stack.waiting import PATIENCE_S, eventually

SESSION_S = 2.0
SHORT = ProjectionSettings(look_s=0.1, poll_s=0.05, session_s=SESSION_S, slow_s=1.5, stuck_s=3.0)
# Clients whose broker is killed leave requests of aiokafka behind that nobody awaits; collected here, they are blamed on no other test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Scene:
    """Everything on one database and one broker, with workers that join and leave."""

    def __init__(self, broker: Broker, system: System, prefix: str) -> None:
        self.broker = broker
        self.system = system
        self.prefix = prefix

    @asynccontextmanager
    async def worker(
        self, *, far: bool = False, settings: ProjectionSettings = SHORT, request_s: float = 5.0
    ) -> AsyncIterator[Supervisor]:
        """Feed in this process, *far* = through the proxy."""
        engine = open_engine(self.system.cluster.settings, application="worker")
        kafka = self.broker.settings(self.prefix, far=far).model_copy(update={"request_timeout_s": request_s})
        supervisor = Supervisor(app, engine, kafka=kafka, settings=settings)
        stopping = asyncio.Event()
        task = asyncio.create_task(supervisor.run(stopping))
        try:
            await eventually(lambda: owns(supervisor), "a worker with partitions")
            yield supervisor
        finally:
            stopping.set()
            await task
            await engine.dispose()

    async def applied(self, more: int, timeout_s: float = PATIENCE_S) -> None:
        """Return once so many more events than now are rows."""
        goal = await self._count() + more

        async def reached() -> bool:
            self.system.check()
            return await self._count() >= goal

        await eventually(reached, f"{more} more applied events", timeout_s)

    async def _count(self) -> int:
        return sum(row[2] for row in await asyncio.to_thread(self.system._rows))

    async def taken_over(self, by: Supervisor) -> None:
        """Return once worker *by* owns every partition."""

        async def owns_all() -> bool:
            return len(by.workers[0].partitions) == 3 and by.workers[0].pulse.is_open

        await eventually(owns_all, "the other worker owns everything")

    async def turned(self, supervisor: Supervisor) -> None:
        """Return once *supervisor* has gone on from here: no worker waits for a broker."""
        since = time.monotonic()

        async def has_turned() -> bool:
            return supervisor.workers[0].pulse.turned > since

        await eventually(has_turned, "a worker that turns without a broker")

    async def silent(self, supervisor: Supervisor, seconds: float, bite: str) -> None:
        """Return once Kafka has not answered *supervisor* for so long, and note that the fault bit."""

        async def unheard() -> bool:
            return time.monotonic() - supervisor.workers[0].pulse.heard > seconds

        await eventually(unheard, f"silence of {seconds} s")
        self.system.recorder.bite(bite)


async def owns(supervisor: Supervisor) -> bool:
    return bool(supervisor.workers and supervisor.workers[0].pulse.is_open)


@pytest.fixture
async def scene(broker: Broker, postgres_dsn: str, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Scene]:
    """Run writers and the relay."""
    cluster = Cluster(tmp_path / "cluster")
    cluster.dsn = postgres_dsn
    kafka: KafkaSettings = broker.settings(topic_prefix)
    system = System(cluster, kafka, tmp_path / "history.jsonl", int.from_bytes(os.urandom(4)))
    async with system.running(writers=2, worker=False):  # no more, so that a broker finds a processor to start on
        yield Scene(broker, system, topic_prefix)
    broker.proxy.heal()


async def judge(scene: Scene, *bites: str) -> None:
    """Finish, and demand a right history in which every fault bit."""
    report, operations = await scene.system.finish(90)
    require_bites(operations, *bites)
    assert (report.violations, report.notes) == ([], [])


async def test_broker_is_killed(scene: Scene) -> None:
    """The broker is killed five times under load: nothing is lost or applied twice, and feeding goes on by itself (F13)."""
    async with scene.worker() as worker, scene.worker():
        for _ in range(5):
            await scene.applied(1, 60)
            async with scene.broker.dead():
                await scene.turned(worker)
                await scene.silent(worker, SHORT.slow_s, "broker killed")
        await scene.applied(20, 60)
        await judge(scene, "broker killed")


async def test_broker_is_stopped(scene: Scene) -> None:
    """A broker that stops answering longer than the session: `/livez` tells it, and when it wakes everything goes on, exactly (F14)."""
    async with scene.worker() as worker, scene.worker():
        await scene.applied(5)
        await eventually(lives(worker), "a worker that is well")
        async with scene.broker.stopped():
            await scene.silent(worker, SHORT.stuck_s, "broker stopped")
            good, told = judge_life(worker, SHORT)
            assert not good
            assert any("Kafka has not answered" in each for each in told["complaints"]), told
        await scene.applied(20, 60)
        await eventually(lives(worker), "a worker that is well again")
        await judge(scene, "broker stopped")


@pytest.mark.parametrize("fault", [Fault.BLACKHOLE, Fault.DROP_REPLIES], ids=["F15", "F16"])
async def test_network_is_cut(scene: Scene, fault: Fault) -> None:
    """Cut off from the broker both ways, or only from its answers, a worker loses its partitions, and gets them back (F15, F16)."""
    async with scene.worker(far=True) as far, scene.worker() as near:
        await scene.applied(5)
        scene.broker.proxy.break_by(fault)
        await scene.silent(far, SESSION_S, fault.name)
        await scene.taken_over(near)
        await scene.applied(20)
        scene.broker.proxy.heal()

        async def shares() -> bool:
            return len(near.workers[0].partitions) < 3

        await eventually(shares, "the worker is back", 60)
        await scene.applied(20)
        await judge(scene, fault.name)


async def test_slow_network(scene: Scene) -> None:
    """200 ms of latency and 64 kB a second slow a worker down and put nobody out of the group (F17)."""
    patient = SHORT.model_copy(update={"session_s": 20.0, "slow_s": 30.0})
    async with scene.worker(far=True, settings=patient, request_s=60.0) as far:
        await scene.applied(5)
        gate = far.workers[0]._reader.gate
        scene.broker.proxy.delay(0.1)
        scene.broker.proxy.limit(64 << 10)
        started = time.monotonic()
        await far.workers[0]._reader.ends([(scene.system.kafka.events_topic, 0)])
        if time.monotonic() - started >= 0.2:
            scene.system.recorder.bite("slow network")
        for _ in range(3):
            await scene.applied(10, 60)
        assert far.workers[0]._reader.gate == gate
        scene.broker.proxy.heal()
        await judge(scene, "slow network")


async def test_half_open_connections(scene: Scene) -> None:
    """Connections that are dead without anybody having been told are noticed and made anew (F18)."""
    async with scene.worker(far=True) as far:
        await scene.applied(5)
        scene.broker.proxy.abandon()
        await scene.silent(far, SHORT.slow_s, "half-open connections")
        await scene.applied(20, 60)
        await judge(scene, "half-open connections")


async def test_rebalance_storm(scene: Scene) -> None:
    """Workers join and leave one after the other under load: progress goes on and every event is applied once (F19)."""
    async with scene.worker() as stays:
        for _ in range(6):
            gate = stays.workers[0]._reader.gate
            async with scene.worker():
                await scene.applied(3)
            if stays.workers[0]._reader.gate != gate:
                scene.system.recorder.bite("rebalance")
        await judge(scene, "rebalance")


async def test_zombie(scene: Scene, tmp_path: Path) -> None:
    """A worker that is stopped with records in its hands, and wakes when another has applied them, is fenced (F20)."""
    asleep = tmp_path / "asleep"
    async with ended(start(scene, REFOLD_PAUSE_AT=f"batch.fetched:{asleep}")) as [zombie]:
        await eventually(exists(asleep), "the worker stops")
        async with scene.worker() as other:
            await scene.taken_over(other)
            await scene.applied(20)
            zombie.send_signal(signal.SIGCONT)
            watchdog = asyncio.get_running_loop().call_later(PATIENCE_S, zombie.kill)
            while line := await asyncio.to_thread(zombie.stdout.readline):
                if "newer owner" in line:
                    scene.system.recorder.bite("fenced")
                    break
            watchdog.cancel()
            await scene.applied(20)
            await judge(scene, "fenced")


def lives(supervisor: Supervisor) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return judge_life(supervisor, SHORT)[0]

    return look


def exists(path: Path) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await asyncio.to_thread(path.exists)

    return look


def start(scene: Scene, **environment: str) -> Child:
    """Start a worker as a process of its own."""
    settings = {"REFOLD_PROJECTIONS_SESSION_S": str(SESSION_S), **environment}
    return Child("projections.cli", ["run"], scene.system.environment(REFOLD_KAFKA_BOOTSTRAP=scene.broker.near, **settings))
