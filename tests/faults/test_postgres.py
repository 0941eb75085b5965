"""PostgreSQL under the whole system goes wrong: sessions are ended, the server crashes, its disk fills, an fsync fails (F08 to F12)."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from eventstore import KafkaSettings
from eventstore.log.admin import Admin
from tests.faults.clusters import Cluster
from tests.faults.operations import require_bites
from tests.faults.system import System

Make = Callable[..., Awaitable[Cluster]]
SESSIONS = """
SELECT application_name, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name IN ('writer', 'relay', 'worker') ORDER BY random() LIMIT 1
"""


@pytest.fixture
async def kafka(kafka_bootstrap: str, topic_prefix: str) -> AsyncIterator[KafkaSettings]:
    settings = KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix, partitions=3)
    yield settings
    async with Admin.open(settings) as admin:
        await admin.delete_topics(await admin.topics())


def make_seed() -> int:
    return int(os.environ.get("REFOLD_TEST_SEED", "0")) or int.from_bytes(os.urandom(4))


async def test_sessions_are_ended(cluster: Make, kafka: KafkaSettings, tmp_path: Path) -> None:
    """Random sessions of writers, relay and worker are ended five times a second: nothing is lost, doubled or misplaced (F08)."""
    system = System(await cluster(), kafka, tmp_path / "history.jsonl", make_seed())
    async with system.running():
        hit: set[str] = set()
        for _ in range(40):
            for name, done in await asyncio.to_thread(system.cluster.query, SESSIONS):
                if done:
                    hit.add(name)
                    system.recorder.bite(name)
            if hit == {"writer", "relay", "worker"} and _ > 12:
                break
            await system.written(5)
        report, operations = await system.finish()
    require_bites(operations, "writer", "relay", "worker", "rolled back")
    assert (report.violations, report.notes) == ([], [])


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL], ids=["immediate", "kill"])
async def test_server_crashes(cluster: Make, kafka: KafkaSettings, tmp_path: Path, how: signal.Signals) -> None:
    """The server crashes twice under load and comes back: every acknowledged event is there, none that was rolled back (F09)."""
    system = System(await cluster(), kafka, tmp_path / "history.jsonl", make_seed())
    async with system.running():
        for _ in range(2):
            await system.written(30)
            await system.cluster.stop(how)
            await system.cluster.up()
            if "automatic recovery in progress" in system.cluster.log():
                system.recorder.bite("recovery")
        await system.written(30)
        report, operations = await system.finish()
    require_bites(operations, "recovery", "rolled back")
    assert (report.violations, report.notes) == ([], [])
