"""`eventstore doctor` on servers where something is wrong: it names it, says what to do, what it says helps, and it exits with 3."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from eventstore import KafkaSettings, RawEvent
from eventstore.cli import main
from eventstore.log.admin import Admin
from eventstore.postgres.checkup import judge_capture, judge_disk, judge_durability, judge_rights, judge_slots
from eventstore.relay import Relay
from tests.faults.clusters import Cluster
from tests.stack.waiting import eventually

Doctor = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Start a server that allows prepared transactions and keeps write-ahead log without limit."""
    cluster = await Cluster.start(tmp_path_factory.mktemp("doctor"), max_prepared_transactions="5", max_slot_wal_keep_size="-1")
    yield cluster
    await cluster.end()


@pytest.fixture
async def doctor(server: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Run `eventstore doctor --json` and give exit code and facts."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", server.dsn)
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    async with server.store():
        pass

    async def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["doctor", "--json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return run


def level(told: dict[str, Any], check: str) -> set[str]:
    return {each["level"] for each in told["findings"] if each["check"] == check}


async def test_healthy(doctor: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
    """On a healthy server nothing is wrong; Kafka that does not answer is unknown; people get a line a check."""
    code, told = await doctor()
    assert code == 0
    assert told["horizon"]["horizon_lag_seconds"] == 0
    assert [level(told, each) for each in ("schema", "relay", "durability", "capture")] == [{"ok"}, {"unknown"}, {"ok"}, {"ok"}]
    assert await asyncio.to_thread(main, ["doctor"]) == 0
    assert "ok      horizon: ordered readers are current" in capsys.readouterr().out


@asynccontextmanager
async def session_of_another_database(server: Cluster) -> AsyncIterator[None]:
    with psycopg.connect(server.dsn_of("postgres"), application_name="elsewhere") as connection:
        connection.execute("SELECT pg_current_xact_id()")
        yield
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("SELECT 1")


@asynccontextmanager
async def prepared_transaction(server: Cluster) -> AsyncIterator[None]:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT pg_current_xact_id()")
        connection.execute("PREPARE TRANSACTION 'it''s forgotten'")
    yield


@pytest.mark.parametrize(
    ("hold", "named"),
    [
        (session_of_another_database, "of elsewhere, user refold, database postgres"),
        (prepared_transaction, "prepared transaction it's"),
    ],
    ids=["session", "prepared"],
)
async def test_remedy_helps(server: Cluster, doctor: Doctor, hold: Any, named: str) -> None:
    """Whoever holds readers back is named, in another database too, and the SQL that doctor gives lets them go on."""
    async with server.store() as store:
        before = await store.count()
        async with hold(server):
            await store.append("a", [RawEvent("x", {})])
            code, told = await doctor("--limit", "0")
            [wrong] = [each for each in told["findings"] if each["level"] == "wrong"]
            assert (code, wrong["check"], told["horizon"]["waiting"]) == (3, "horizon", 1)
            assert named in wrong["message"]
            server.query(wrong["action"].partition(" (in database")[0])

        async def is_readable() -> bool:
            return await store.count() == before + 1

        await eventually(is_readable, "the event that had waited")
    assert (await doctor())[0] == 0


async def test_relay_lag(
    server: Cluster, doctor: Doctor, kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readable events that the log does not have are wrong once they have waited too long: a dead relay shows no lag of its own."""
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("REFOLD_KAFKA_TOPIC_PREFIX", topic_prefix)
    kafka = KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix)
    async with server.store() as store:
        await store.append("r", [RawEvent("x", {})])
        assert level((await doctor("--limit", "0"))[1], "relay") == {"warn"}
        await Relay(store.engine, kafka).drain()
        code, told = await doctor("--limit", "0")
        assert (code, told["relay"]["waiting"], told["relay"]["position"]) == (0, 0, str(await store.head()))
        await store.append("r", [RawEvent("x", {})])
        code, told = await doctor("--limit", "0")
        assert (code, told["relay"]["waiting"], level(told, "relay")) == (3, 1, {"wrong"})
    async with Admin.open(kafka) as admin:
        await admin.delete_topics(await admin.topics())


async def test_slots(server: Cluster, doctor: Doctor) -> None:
    """A slot that nobody reads is named, with how to drop it, and so is a log that may grow without limit."""
    server.query("SELECT pg_create_logical_replication_slot('idle_slot', 'pgoutput')")
    found = [each for each in (await doctor())[1]["findings"] if each["check"] == "slot"]
    assert [each["level"] for each in found] == ["warn", "warn"]
    assert "pg_drop_replication_slot('idle_slot')" in found[0]["action"]
    server.query("SELECT pg_drop_replication_slot('idle_slot')")


async def test_timeouts(server: Cluster, doctor: Doctor) -> None:
    """A role that may append and whose idle transactions nothing ends is named, with the statement that changes it."""
    [found] = [each for each in (await doctor())[1]["findings"] if each["check"] == "idle transactions"]
    assert (found["level"], found["action"]) == ("warn", "ALTER ROLE refold SET idle_in_transaction_session_timeout = '60s'")
    server.query(found["action"])
    assert level((await doctor())[1], "idle transactions") == {"ok"}
    server.query("ALTER ROLE refold RESET idle_in_transaction_session_timeout")


async def test_asynchronous_commit(server: Cluster, doctor: Doctor) -> None:
    """A server that acknowledges before it has written is wrong, and the advice mends it."""
    server.query("ALTER DATABASE refold SET synchronous_commit = off")
    code, told = await doctor()
    assert (code, level(told, "durability")) == (3, {"wrong"})
    server.query("ALTER DATABASE refold RESET synchronous_commit")
    assert (await doctor())[0] == 0


def test_verdicts(tmp_path: Any) -> None:
    """What a test server does not offer is judged by its facts: fsync, wal_level, lost slots, hidden disks, missing rights."""
    assert judge_durability({"fsync": "off", "full_page_writes": "on"})[0].level == "wrong"
    assert judge_capture({"wal_level": "replica"}).level == "warn"
    assert [each.level for each in judge_slots([("s", False, "lost", 1, 1)], {})] == ["wrong"]
    assert [each.level for each in judge_slots([("s", True, "reserved", None, 1)], {})] == ["ok"]
    assert judge_disk(None).level == judge_disk("/nowhere/at/all").level == "unknown"
    assert judge_disk(str(tmp_path)).level in {"ok", "warn", "wrong"}
    assert [judge_rights("r", *each).level for each in ((False, True, True), (True, True, False), (True, False, True))] == [
        "wrong",
        "warn",
        "ok",
    ]
