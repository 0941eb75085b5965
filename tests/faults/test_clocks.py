"""Clocks disagree: the writer's is an hour behind, the worker's 90 seconds ahead (F32)."""

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from eventstore import KafkaSettings
from tests.faults.clusters import Cluster
from tests.faults.operations import require_bites
from tests.faults.system import System
from tests.faults.test_writers import start_writer

Make = Callable[..., Awaitable[Cluster]]
ROOT = Path(__file__).resolve().parents[2]
WORKER = "import sys; from projections.cli import main; sys.exit(main())"


def shifted(offset: str) -> dict[str, str]:
    """Give the environment of a process whose calendar is off by *offset*; histories keep the machine's monotonic clock."""
    wheel = importlib.util.find_spec("libfaketime")
    assert wheel is not None, "pip install libfaketime"
    assert wheel.origin is not None
    library = next(Path(wheel.origin).parent.rglob("libfaketime.so*"))
    return {"LD_PRELOAD": str(library), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": str(ROOT)}


def start_worker(**environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WORKER, "run", "--app", "tests.faults.tally:app"]
    return subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)


async def test_clocks_disagree(cluster: Make, kafka: KafkaSettings, tmp_path: Path) -> None:
    """Whatever the clocks of writer and worker say, order, effects and ids are the same: only the database's clock counts (F32)."""
    system = System(await cluster(), kafka, tmp_path / "history.jsonl", 1)
    [(begun,)] = system.cluster.query("SELECT clock_timestamp()")
    late = {
        "REFOLD_POSTGRES_DSN": system.cluster.dsn,
        "REFOLD_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "REFOLD_KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "REFOLD_KAFKA_PARTITIONS": str(kafka.partitions),
        "REFOLD_PROJECTIONS_LOOK_S": "0.1",
        **shifted("+90s"),
    }
    async with system.running(writers=1, worker=False):
        writer = start_writer(system.cluster.dsn, system.history, **shifted("-1h"))
        worker = start_worker(**late)
        try:
            assert await asyncio.to_thread(writer.wait, 60) == 0
            report, operations = await system.finish()
        finally:
            for each in (writer, worker):
                each.terminate()
                await asyncio.to_thread(each.wait, 60)
    require_bites(operations, "clock -1 h", "rolled back")
    assert (report.violations, report.notes) == ([], [])
    clocks = "SELECT count(*), count(*) FILTER (WHERE recorded_at BETWEEN %s AND clock_timestamp()) FROM eventstore.event"
    [(events, by_our_clock)] = system.cluster.query(clocks, begun)
    assert events == by_our_clock
