"""Everything at once, by a seed (F40). REFOLD_TEST_SEED repeats a run, REFOLD_TEST_STORM_S makes it longer."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from eventstore.postgres import PostgresEventStore, open_engine
from projections.feeding.supervisor import Supervisor
from projections.serving import ReadModels
from projections.settings import ProjectionSettings
from tests.faults.brokers import Broker
from tests.faults.checker import examine
from tests.faults.clusters import Cluster
from tests.faults.operations import load, require_bites
from tests.faults.storm import Storm
from tests.faults.system import System
from tests.faults.tally import app
from tests.faults.users import User
from tests.stack.waiting import PATIENCE_S, eventually

SEED = int(os.environ.get("REFOLD_TEST_SEED", "0")) or int.from_bytes(os.urandom(4))
STORM_S = float(os.environ.get("REFOLD_TEST_STORM_S", "0"))
SHORT = ProjectionSettings(look_s=0.1, poll_s=0.05, session_s=2.0, slow_s=1.5, stuck_s=3.0)
Make = Callable[..., Awaitable[Cluster]]
# Clients whose broker is killed leave requests of aiokafka behind that nobody awaits.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


async def test_everything(cluster: Make, broker: Broker, topic_prefix: str, tmp_path: Path) -> None:
    """Servers, network, workers and operators fail in one go: never is anything wrong, and when it is over everything comes up (F40)."""
    server = await cluster()
    system = System(server, broker.settings(topic_prefix), tmp_path / "history.jsonl", SEED)
    engines = {name: open_engine(server.settings, application=name) for name in ("worker", "user")}
    far = Supervisor(app, engines["worker"], kafka=broker.settings(topic_prefix, far=True), settings=SHORT)
    stop, stop_operators, stop_users = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with system.running(writers=2, worker=False):
        storm = Storm(system, broker, far)
        feeding = asyncio.create_task(far.run(stop))
        try:
            await eventually(lambda: system._rows_are(1), "the first rows", 60)
            async with PostgresEventStore.open(server.settings, engine=engines["user"]) as store:
                models = ReadModels(engines["user"], app, kafka=system.kafka)
                users = [User(store, models, system.history, f"user-{each}", waits_s=3.0) for each in range(2)]
                using = [asyncio.create_task(each.run(stop_users)) for each in users]
                operating = asyncio.create_task(storm.operate(stop_operators))
                await storm.rage(STORM_S)
                safe = examine(load(system.history))
                stop_operators.set()
                await operating
                await storm.settle()
                for each in users:
                    each.waits_s = PATIENCE_S
                await eventually(lambda: have_seen(users), "users who see what they wrote", 120)
                stop_users.set()
                await asyncio.gather(*using)
            report, operations = await system.finish(120)
        finally:
            for each in (stop_operators, stop_users, stop):
                each.set()
            await feeding
            await storm.end()
            for each in engines.values():
                await each.dispose()
    require_bites(operations, *storm.faults)
    assert {each.kind for each in safe.violations} <= {"HALF"}, "swaps are noted after the storm, so that reads are judged then"
    assert (report.violations, report.notes) == ([], [])


async def have_seen(users: list[User]) -> bool:
    return all(each.seen for each in users)
