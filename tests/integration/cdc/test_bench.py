"""The stopwatch measures on real servers and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json

import psycopg
import pytest

from cdc.cli import main
from eventstore.log.admin import Admin
from eventstore.settings import KafkaSettings


async def test_bench(
    postgres_dsn: str,
    connect_url: str,
    kafka_bootstrap: str,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every figure is there and adds up, and scratch database, slot and topics are gone."""
    for name, value in (
        ("POSTGRES_DSN", postgres_dsn),
        ("CONNECT_URL", connect_url),
        ("KAFKA_BOOTSTRAP", kafka_bootstrap),
        ("KAFKA_TOPIC_PREFIX", topic_prefix),
    ):
        monkeypatch.setenv(f"REFOLD_{name}", value)
    arguments = ["bench", "--json", "--rows", "500", "--seconds", "1", "--rate", "20"]
    assert await asyncio.to_thread(main, arguments) == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    assert found["snapshot"]["rows"] == 500
    assert found["latency"]["changes"] == 20
    assert 0 < found["latency"]["p50_ms"] <= found["latency"]["p99_ms"] <= found["latency"]["worst_ms"]
    assert found["decode"]["with_schema_s"] > 1_000
    assert found["plan"]["plan_s"] > 0
    with psycopg.connect(postgres_dsn) as connection:
        slots = connection.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE %s", [f"{topic_prefix}%"]).fetchall()
    assert not slots
    async with Admin.open(KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix)) as admin:
        assert not await admin.topics()
