"""A writer is killed between commit and acknowledgement, or loses the reply, or idles inside a transaction (F01, F02, F07)."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import KafkaSettings, RawEvent
from eventstore.cli import main
from eventstore.postgres import PostgresEventStore, checkout, open_engine
from eventstore.relay import Relay
from tests.faults.checker import examine
from tests.faults.clusters import Cluster
from tests.faults.operations import Recorder, load, require_bites
from tests.faults.records import all_marked, read_records
from tests.stack.proxy import Fault, Proxy
from tests.stack.waiting import eventually

Make = Callable[..., Awaitable[Cluster]]
Between = Callable[[str, int], Awaitable[Proxy]]
EVENTS = 40


def start_writer(dsn: str, history: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a writer of EVENTS events as a process of its own."""
    command = [sys.executable, "-m", "tests.faults.writer", str(history), "ada", str(EVENTS)]
    return subprocess.Popen(command, env={**os.environ, "REFOLD_POSTGRES_DSN": dsn, **environment})


@pytest.mark.parametrize("fault", ["killed", "reply lost"])
async def test_no_acknowledgement(cluster: Make, proxy: Between, kafka: KafkaSettings, tmp_path: Path, fault: str) -> None:
    """A writer that is killed between commit and reply, or loses the reply, appends again: recorded and published once (F01, F02)."""
    server, history = await cluster(), tmp_path / "history.jsonl"
    parts = urlsplit(server.dsn)
    between = await proxy(parts.hostname or "", parts.port or 0)
    between.delay(0.02)  # the writer must not be done before we have looked
    far = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{between.address}").geturl()
    async with server.store() as store:
        writer = start_writer(far, history)
        try:
            await eventually(lambda: count_ok(history, 12), "twelve acknowledged appends; by then the statement is prepared")
            between.break_by(Fault.DROP_REPLIES)
            await eventually(lambda: is_unanswered(server, history), "an event that nobody was told of")
            Recorder(history, "test").bite(fault)
            if fault == "killed":
                writer.kill()
                await asyncio.to_thread(writer.wait)
                between.heal()
                writer = start_writer(far, history)
            else:
                between.heal()
                between.reset()
            assert await asyncio.to_thread(writer.wait, 60) == 0
        finally:
            writer.kill()
            writer.wait()
        await Relay(store.engine, kafka).drain()
        [(stored,)] = server.query("SELECT count(*) FROM eventstore.event")
    recorder = Recorder(history, "test")
    await all_marked(kafka)
    for each in await read_records(kafka):
        recorder.note(
            "ok", "publish", stream=each["subject"], version=each["streamversion"], event_id=each["id"],
            partition=each["partition"], offset=each["offset"],
        )  # fmt: skip
    recorder.note("ok", "caught_up")
    operations = load(history)
    require_bites(operations, fault)
    report = examine(operations)
    assert (report.violations, report.notes, stored) == ([], [], EVENTS)


async def count_ok(history: Path, wanted: int) -> bool:
    return sum(each.type == "ok" and each.f == "append" for each in load(history)) >= wanted


async def is_unanswered(server: Cluster, history: Path) -> bool:
    [(stored,)] = server.query("SELECT count(*) FROM eventstore.event")
    return not await count_ok(history, stored)


async def test_idle_in_transaction(cluster: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A writer that idles inside a transaction holds readers back until the server ends it; doctor names it meanwhile (F07)."""
    server = await cluster()
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", server.dsn)
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    async with server.store() as store:
        idler = open_engine(store._settings, application="idler")
        with pytest.raises(psycopg.Error):
            await idle(idler, store, capsys)
        assert [each.type async for each in store.read_all(decoded=False)] == ["real"]
        await idler.dispose()


async def idle(idler: AsyncEngine, store: PostgresEventStore, capsys: pytest.CaptureFixture[str]) -> None:
    """Append in a transaction, and do nothing until the server ends it; look at readers and doctor meanwhile."""
    async with checkout(idler) as connection, connection.transaction():
        ghost = await store.append("a", [RawEvent("ghost", {})], connection=connection)
        late = await store.append("b", [RawEvent("real", {})])
        assert (ghost.position < late.position, await store.count()) == (True, 0)
        capsys.readouterr()
        assert await asyncio.to_thread(main, ["doctor", "--limit", "0", "--json"]) == 3
        told = json.loads(capsys.readouterr().out)
        [holder] = told["horizon"]["holders"]
        assert (holder["application"], holder["state"]) == ("idler", "idle in transaction")
        [wrong] = [each for each in told["findings"] if each["level"] == "wrong"]
        assert wrong["action"] == f"SELECT pg_terminate_backend({holder['pid']})"
        assert wrong["message"].startswith("frozen: the horizon did not move")
        await connection.execute("SET idle_in_transaction_session_timeout = 500")  # from here on it idles
        await eventually(lambda: readable(store, 1), "a readable event once the server has ended the idler")


async def readable(store: PostgresEventStore, events: int) -> bool:
    return await store.count() == events
