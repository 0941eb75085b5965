"""Slots, offsets, topics and servers of captured tables go away, and `cdc recover` brings the read models back (F21 to F25)."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cdc.connect.client import ConnectClient
from cdc.connect.settings import ConnectSettings
from cdc.steer import Target, teardown_connector
from eventstore import KafkaSettings
from eventstore.log.admin import Admin
from eventstore.moments import CRASHED
from tests.faults import workers
from tests.faults.clusters import Cluster
from tests.faults.operations import require_bites
from tests.faults.sources import Captured
from tests.stack.waiting import eventually

Make = Callable[..., Awaitable[Cluster]]
NAMES = ("CONNECT_URL", "KAFKA_BOOTSTRAP", "KAFKA_TOPIC_PREFIX", "POSTGRES_DSN")


@pytest.fixture
async def captured(
    postgres_dsn: str,
    connect_url: str,
    kafka_bootstrap: str,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Captured]:
    """Give a captured database whose read models lie in it too; its connector is torn down afterwards."""
    for name, value in zip(NAMES, (connect_url, kafka_bootstrap, topic_prefix, postgres_dsn), strict=True):
        monkeypatch.setenv(f"REFOLD_{name}", value)
    kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix)
    source = Captured(postgres_dsn, postgres_dsn, kafka, tmp_path, capsys)
    await source.prepare()
    source.declare()
    yield source
    await tear_down(source, connect_url)


async def tear_down(source: Captured, connect_url: str) -> None:
    async with ConnectClient(ConnectSettings(url=connect_url)) as client:
        target = Target(f"{source.kafka.topic_prefix}.operations", source.slot, source.dsn)
        await teardown_connector(client, target, time.monotonic() + 120, lambda _: None)


async def test_snapshot_beside_writers(captured: Captured) -> None:
    """A connector that starts while rows are written loses none at the seam of snapshot and stream, and doubles none (F25)."""
    await captured.pay(200)
    async with captured.paying():
        await captured.paid(20)
        assert (await captured.cdc("apply", captured.folder / "operations.toml"))[0] == 0
        await captured.paid(20)
        async with captured.feeding():
            code, told = await captured.verify()
    assert (code, told["equal"]) == (0, True), told
    async with captured.feeding():
        assert (await captured.verify())[0] == 0
    report, _ = await captured.examine()
    assert report.violations == []


async def test_slot_dropped(captured: Captured) -> None:
    """A slot is dropped: the connector fails aloud and is recovered, by runs of which three die, with what changed meanwhile (F22)."""
    path = captured.folder / "operations.toml"
    await captured.pay(100)
    assert (await captured.cdc("apply", path))[0] == 0
    async with captured.feeding():
        await captured.pay(20)
        assert (await captured.cdc("stop", "--file", path))[0] == 0
        captured.query("SELECT pg_drop_replication_slot(%s)", captured.slot)
        await captured.pay(50)
        captured.query("DELETE FROM price WHERE item <= 5")
        code, told = await captured.recover("--dry-run")
        assert (code, told["diagnoses"][0]["cause"], told["agreement"]) == (0, "slot", None)
        if (await captured.cdc("resume", "--file", path, "--timeout", "20"))[0]:
            captured.recorder.bite("resume fails")
        for moment in ("recover.stopped", "recover.slot_dropped", "recover.offsets_deleted"):
            assert await captured.die(moment) == CRASHED
        code, told = await captured.recover()
        assert (code, told["agreement"]["equal"], told["rebuilt"]) == (0, True, []), told
        assert told["came"][captured.topic]["snapshot_rows"] >= 170
        code, told = await captured.recover()
        assert (code, told["diagnoses"][0]["cure"], told["came"][captured.topic]["snapshot_rows"]) == (0, "none", 0)
    report, operations = await captured.examine()
    assert report.violations == []
    require_bites(operations, "resume fails")


async def test_slot_invalidated(
    cluster: Make,
    connect_url: str,
    kafka_bootstrap: str,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A slot that has fallen too far behind is invalidated; `cdc status` says so, and the read models are recovered (F23)."""
    server = await cluster(max_slot_wal_keep_size="1MB", min_wal_size="32MB", max_wal_size="32MB")
    for name, value in zip(NAMES, (connect_url, kafka_bootstrap, topic_prefix, server.dsn), strict=True):
        monkeypatch.setenv(f"REFOLD_{name}", value)
    source = Captured(
        server.dsn, server.dsn, KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix), tmp_path, capsys
    )
    await source.prepare()
    path = source.declare()
    try:
        assert (await source.cdc("apply", path))[0] == 0
        async with source.feeding():
            await source.pay(20)
            assert (await source.cdc("stop", "--file", path))[0] == 0
            await source.pay(20)
            source.query("DELETE FROM price")  # a snapshot sends no row of an empty table
            await lose_wal(source)
            code, told = await source.cdc("status", "--file", path)
            assert (code, "lost" in str(told)) == (3, True), told
            source.recorder.bite("status tells")
            code, told = await source.recover()
        assert (code, told["diagnoses"][0]["cause"], told["agreement"]["equal"]) == (0, "slot", True), told
        report, operations = await source.examine()
        assert report.violations == []
        require_bites(operations, "status tells")
    finally:
        await tear_down(source, connect_url)


async def lose_wal(source: Captured) -> None:
    """Write so much log that the server gives up what the slot still needs."""

    async def is_lost() -> bool:
        source.query("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 8000000)), pg_switch_wal()")
        source.query("CHECKPOINT")
        return source.query("SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", source.slot) == [("lost",)]

    await eventually(is_lost, "the slot is invalidated", 60)


async def test_offsets_lost(captured: Captured) -> None:
    """Offsets that are wiped are found again from the slot, without a snapshot; older ones that are put back lose nothing either (F24)."""
    path, name = captured.folder / "operations.toml", f"{captured.kafka.topic_prefix}.operations"
    await captured.pay(50)
    assert (await captured.cdc("apply", path))[0] == 0
    async with captured.feeding(), ConnectClient() as connect:
        await captured.pay(10)
        assert (await captured.cdc("stop", "--file", path))[0] == 0
        older = await connect.read_offsets(name)
        assert await connect.delete_offsets(name)
        await captured.pay(10)
        code, told = await captured.recover()
        assert (code, [each["cure"] for each in told["diagnoses"]], told["agreement"]["equal"]) == (0, ["reposition"], True), told
        captured.recorder.bite("offsets are gone")
        assert told["came"][captured.topic]["snapshot_rows"] == 0
        await captured.pay(10)
        assert (await captured.verify())[0] == 0
        assert (await captured.cdc("stop", "--file", path))[0] == 0
        await connect.write_offsets(name, older)
        await captured.pay(10)
        code, told = await captured.recover()
        assert (code, told["agreement"]["equal"]) == (0, True), told
    report, operations = await captured.examine()
    assert report.violations == []
    require_bites(operations, "offsets are gone")


async def test_topic_lost(captured: Captured) -> None:
    """A deleted topic is made anew and filled by a snapshot; read models stay, read it from its start, and equal their source."""
    path = captured.folder / "operations.toml"
    await captured.pay(50)
    assert (await captured.cdc("apply", path))[0] == 0
    async with captured.feeding():
        assert (await captured.verify())[0] == 0
        assert (await captured.cdc("stop", "--file", path))[0] == 0
        async with Admin.open(captured.kafka) as admin:
            await admin.delete_topics([captured.topic])
        await captured.pay(20)
        code, told = await captured.recover()
        assert (code, told["diagnoses"][0]["cause"], told["agreement"]["equal"]) == (0, "topic", True), told
        assert told["restarted"] == [captured.topic]
    report, _ = await captured.examine()
    assert report.violations == []


async def test_worker_killed(
    postgres_dsn: str,
    kafka_bootstrap: str,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Connect is killed while it has records in its hands: all arrive once it is back, in order, none twice in a read model (F21)."""
    kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix)
    async with workers.running(tmp_path / "connect", kafka_bootstrap, f"{topic_prefix}-connect") as worker:
        for name, value in zip(NAMES, (worker.url, kafka_bootstrap, topic_prefix, postgres_dsn), strict=True):
            monkeypatch.setenv(f"REFOLD_{name}", value)
        source = Captured(postgres_dsn, postgres_dsn, kafka, tmp_path, capsys)
        await source.prepare()
        assert (await source.cdc("apply", source.declare()))[0] == 0
        async with source.feeding(), source.paying():
            await source.paid(100)
            await worker.kill()
            await source.paid(100)
            if (await source.recover())[0] == 6:
                source.recorder.bite("nobody answers")
            await worker.up()
            code, told = await source.recover()
            assert (code, told["agreement"]["equal"]) == (0, True), told
            assert told["came"][source.topic]["snapshot_rows"] == 0
            await source.paid(20)
        async with source.feeding():
            assert (await source.verify())[0] == 0
        report, operations = await source.examine()
        assert report.violations == []
        require_bites(operations, "nobody answers")
        await tear_down(source, worker.url)


async def test_failover(
    cluster: Make,
    postgres_dsn: str,
    connect_url: str,
    kafka_bootstrap: str,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The primary is killed and its standby promoted: the connector goes on in the slot that was kept in step, without a snapshot."""
    for name, value in zip(NAMES, (connect_url, kafka_bootstrap, topic_prefix, postgres_dsn), strict=True):
        monkeypatch.setenv(f"REFOLD_{name}", value)
    options = {
        "hot_standby_feedback": "on",
        "sync_replication_slots": "on",
        "synchronized_standby_slots": "",
        "max_wal_size": "64MB",
    }
    primary = await cluster(**options)
    standby = Cluster(tmp_path / "standby", **options)
    await asyncio.to_thread(standby.follow, primary, "standby")
    await standby.up()
    try:
        for each in ("synchronous_standby_names = '*'", "synchronized_standby_slots = 'standby'"):
            primary.query(f"ALTER SYSTEM SET {each}")
        primary.query("SELECT pg_reload_conf()")
        kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix)
        source = Captured(primary.dsn, postgres_dsn, kafka, tmp_path, capsys)
        await source.prepare()
        assert (await source.cdc("apply", source.declare(options='"slot.failover" = true')))[0] == 0
        async with source.feeding():
            await source.pay(50)
            assert (await source.verify())[0] == 0
            await eventually(lambda: is_synced(standby, source), "the slot on the standby", 120)
            await source.pay(50)
            await primary.stop(signal.SIGKILL)
            source.recorder.bite("the primary is dead")
            standby.query("ALTER SYSTEM RESET synchronous_standby_names")
            standby.query("SELECT pg_promote()")
            source.declare(standby.dsn, options='"slot.failover" = true')
            await source.pay(20)
            code, told = await source.recover()
            assert (code, told["diagnoses"][0]["cause"], told["agreement"]["equal"]) == (0, "moved", True), told
            assert told["came"][source.topic]["snapshot_rows"] == 0
        report, operations = await source.examine()
        assert report.violations == []
        require_bites(operations, "the primary is dead")
        await tear_down(source, connect_url)
    finally:
        await standby.end()


async def is_synced(standby: Cluster, source: Captured) -> bool:
    query = "SELECT synced AND NOT temporary AND invalidation_reason IS NULL FROM pg_replication_slots WHERE slot_name = %s"
    return standby.query(query, source.slot) == [(True,)]
