"""PostgreSQL is shut down while a connector captures from it (F10)."""

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from cdc import CapturedTable
from cdc.cli import main
from cdc.connect.client import ConnectClient
from cdc.connect.settings import ConnectSettings
from cdc.steer import Target, teardown_connector
from eventstore import KafkaSettings
from tests.faults.clusters import Cluster
from tests.faults.operations import Recorder, load, require_bites
from tests.stack.waiting import eventually

Make = Callable[..., Awaitable[Cluster]]
PAYMENTS = CapturedTable("operations", "public.payment")


async def insert(server: Cluster, recorder: Recorder, first: int, count: int) -> None:
    """Insert payments one by one, noting which were acknowledged."""
    for number in range(first, first + count):
        with recorder.operation("append", stream="payment", event_id=str(number)) as found:
            await asyncio.to_thread(server.query, "INSERT INTO payment VALUES (%s)", number)
            found["version"] = number


async def read_numbers(kafka: KafkaSettings) -> list[int]:
    """Read which payments the topic has, in order."""
    topic = TopicPartition(PAYMENTS.topic(kafka), 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, isolation_level="read_committed")
    await consumer.start()
    found: list[int] = []
    try:
        consumer.assign([topic])
        await consumer.seek_to_beginning(topic)
        end = (await consumer.end_offsets([topic]))[topic]
        while await consumer.position(topic) < end:
            records = (await consumer.getmany(topic, timeout_ms=200)).get(topic, [])
            found += [json.loads(record.key)["payload"]["id"] for record in records]
    finally:
        await consumer.stop()
    return found


async def test_fast_shutdown(
    cluster: Make, connect_url: str, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast shutdown ends with the connector attached; `cdc status` says so; once the server is back all rows arrive, in order (F10)."""
    for name, value in (("CONNECT_URL", connect_url), ("KAFKA_BOOTSTRAP", kafka_bootstrap), ("KAFKA_TOPIC_PREFIX", topic_prefix)):
        monkeypatch.setenv(f"REFOLD_{name}", value)
    server, kafka = await cluster(), KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix)
    server.query("CREATE TABLE payment (id integer PRIMARY KEY)")
    path = declare(server, tmp_path)
    recorder = Recorder(tmp_path / "history.jsonl", "payer")
    try:
        assert await asyncio.to_thread(main, ["apply", str(path)]) == 0
        await insert(server, recorder, 0, 20)
        await server.stop(signal.SIGINT)
        if await asyncio.to_thread(main, ["status", str(path), "--json"]):
            recorder.bite("status tells")
        with pytest.raises(psycopg.OperationalError):
            await insert(server, recorder, 20, 1)
        await server.up()
        await insert(server, recorder, 21, 20)

        async def all_there() -> bool:
            return {*range(20), *range(21, 41)} <= set(await read_numbers(kafka))

        try:
            await eventually(all_there, "all rows in the topic", 20)
        except TimeoutError:
            assert await asyncio.to_thread(main, ["restart", str(path)]) == 0
            await eventually(all_there, "all rows in the topic")
    finally:
        async with ConnectClient(ConnectSettings(url=connect_url)) as client:
            target = Target(f"{topic_prefix}.operations", f"{topic_prefix}_operations", server.dsn)
            await teardown_connector(client, target, time.monotonic() + 120, lambda _: None)
    require_bites(load(tmp_path / "history.jsonl"), "status tells")
    found = await read_numbers(kafka)
    assert list(dict.fromkeys(found)) == sorted(set(found))


def declare(server: Cluster, folder: Path) -> Path:
    """Write the connector's declaration."""
    with psycopg.connect(server.dsn) as connection:
        info = connection.info
        (folder / "password").write_text(info.password, encoding="utf-8")
        address = f"postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}"
    path = folder / "operations.toml"
    path.write_text(
        f'[connector]\nname = "operations"\ndsn = "{address}"\ntables = ["public.payment"]\npassword_file = "password"\n', "utf-8"
    )
    return path
