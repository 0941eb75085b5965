"""PostgreSQL under the whole system goes wrong: sessions are ended, the server crashes, its disk fills, an fsync fails (F08 to F12)."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from compose.identity import has_namespaces
from eventstore import KafkaSettings
from tests.faults.clusters import Cluster, run
from tests.faults.operations import require_bites
from tests.faults.system import System
from tests.stack.waiting import eventually

Make = Callable[..., Awaitable[Cluster]]
BUSY = {"commit_delay": "20000", "commit_siblings": "0"}  # a sync waits 20 ms first: it always fails with a writer's commit in it
SESSIONS = """
SELECT application_name, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = %s AND datname = current_database() ORDER BY random() LIMIT 1
"""


def make_seed() -> int:
    return int(os.environ.get("REFOLD_TEST_SEED", "0")) or int.from_bytes(os.urandom(4))


async def test_sessions_are_ended(cluster: Make, kafka: KafkaSettings, tmp_path: Path) -> None:
    """Random sessions of writers, relay and worker are ended in turn, again and again: nothing is lost, doubled or misplaced (F08)."""
    system = System(await cluster(), kafka, tmp_path / "history.jsonl", make_seed())
    async with system.running():
        for name in ("writer", "relay", "worker") * 5:
            await eventually(lambda name=name: end_session(system, name), f"a session of the {name}")
            system.recorder.bite(name)
            await system.written(5)
        report, operations = await system.finish()
    require_bites(operations, "writer", "relay", "worker", "rolled back")
    assert (report.violations, report.notes) == ([], [])


async def end_session(system: System, name: str) -> bool:
    """End one session of *name*; False = it has none at this moment."""
    found = await asyncio.to_thread(system.cluster.query, SESSIONS, name)
    return any(done for _, done in found)


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


async def test_disk_full(cluster: Make, kafka: KafkaSettings, tmp_path: Path) -> None:
    """The disk of the write-ahead log fills under load: once there is room again every acknowledged event is there (F11)."""
    full = await cluster(**BUSY)
    await full.stop(signal.SIGINT)
    run("pg_resetwal", "--wal-segsize=1", "-D", str(full.data))
    with small_disk(full.data / "pg_wal", megabytes=40) as (enter, inside):
        await full.up(*enter)
        system = System(full, kafka, tmp_path / "history.jsonl", make_seed())
        async with system.running():
            await system.written(20)
            ballast = inside / "ballast"
            room = os.statvfs(inside)
            ballast.write_bytes(b"x" * (room.f_bavail * room.f_bsize - (1 << 20)))

            async def is_full() -> bool:
                system.check()
                log = full.log()
                return "No space left on device" in log and "PANIC" in log  # before that nobody's commit has met it

            await eventually(is_full, "a full disk", 60)
            system.recorder.bite("disk full")
            ballast.unlink()
            await full.stop(signal.SIGKILL)
            await system.bitten("unknown outcome")  # a server that is back at once would answer the store's own next attempt
            await full.up(*enter)
            await system.written(20)
            report, operations = await system.finish()
        await full.stop(signal.SIGINT)
    require_bites(operations, "disk full", "unknown outcome")
    assert (report.violations, report.notes) == ([], [])


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Mount a disk of *megabytes* over the directory *place*, for programs behind the command given; and where we see it.

    It lives in a mount namespace inside a user namespace, which an ordinary user may make as well as root.
    """
    assert has_namespaces(), "this needs user namespaces (kernel.unprivileged_userns_clone, user.max_user_namespaces)"
    script = f"cp -a {place} {place}.kept && mount -t tmpfs -o size={megabytes}m,mode=700 tmpfs {place} && cp -a {place}.kept/. {place}"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"{script} && echo ready && exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "ready\n"
            enter = ("nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials", f"--wd={place.parent}")
            yield (*enter, "--"), Path(f"/proc/{holder.pid}/root{place}")
        finally:
            holder.kill()


async def test_fsync_fails(cluster: Make, kafka: KafkaSettings, tmp_path: Path) -> None:
    """A sync of the write-ahead log fails with EIO under load: the server stops rather than acknowledge, and nothing is lost (F12)."""
    dying = await cluster(wal_sync_method="fsync", **BUSY)
    await dying.stop(signal.SIGINT)
    await dying.up(sys.executable, str(Path(__file__).with_name("refuse_fdatasync.py")))
    system = System(dying, kafka, tmp_path / "history.jsonl", make_seed())
    async with system.running():
        await system.written(20)
        dying.query("ALTER SYSTEM SET wal_sync_method = fdatasync")
        with suppress(psycopg.OperationalError):  # the server may die under it already
            dying.query("SELECT pg_reload_conf()")

        async def has_panicked() -> bool:
            system.check()
            return "PANIC:  could not fdatasync" in dying.log()

        await eventually(has_panicked, "a failed sync", 60)
        system.recorder.bite("sync failed")
        await dying.stop(signal.SIGKILL)
        await system.bitten("unknown outcome")
        await dying.up()
        await system.written(20)
        report, operations = await system.finish()
    require_bites(operations, "sync failed", "unknown outcome")
    assert (report.violations, report.notes) == ([], [])
