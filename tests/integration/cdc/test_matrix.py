"""A column of every type, through psql, PostgreSQL, Debezium in every mode, Kafka and a projection, equals what psycopg reads."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy.ext.asyncio import AsyncEngine

from cdc import UNCHANGED, Interval
from cdc.apply import apply_connector
from cdc.change import Change, Decoder
from cdc.connect.client import ConnectClient
from cdc.connect.declaration import Connector
from cdc.connect.secret import refer_file
from cdc.connect.settings import ConnectSettings
from cdc.steer import Target, teardown_connector
from eventstore.settings import KafkaSettings
from projections import Projections
from projections.feeding.supervisor import Supervisor
from tests.bank.fixtures import engine, kafka, postgres_template
from tests.bank.runs import QUICK
from tests.matrix.expected import SESSION, forgive, plain, read_rows, register, same
from tests.matrix.keeping import BIG, capture, choose, project, store
from tests.matrix.matrix import COLUMNS, EMPTY, LARGE, ROWS, STREAMED, TABLE, WAYS, Way, create, insert, update
from tests.matrix.server import psql, running
from tests.stack.waiting import eventually

__all__ = ["engine", "kafka", "postgres_template"]
RECORDS = 2 * ROWS + 7
"""Rows of the snapshot and of the stream, an update, a delete and its tombstone, an empty row and its update, a large one and its."""


@pytest.fixture(scope="module")
def rich_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the DSN of a server with every type."""
    with running(tmp_path_factory.mktemp("rich")) as dsn:
        yield dsn


@pytest.fixture
async def written(rich_dsn: str, kafka: KafkaSettings, connect_url: str, tmp_path: Path) -> AsyncIterator[KafkaSettings]:
    """Write the table through psql while a connector for every mode captures it."""
    psql(rich_dsn, *create(), insert(1))
    settings = ConnectSettings(url=connect_url)
    connectors = [declare(rich_dsn, way, tmp_path) for way in WAYS]
    try:
        await asyncio.gather(*(apply_connector(each, kafka=kafka, settings=settings) for each in connectors))
        names = ", ".join(BIG)
        psql(
            rich_dsn,
            insert(STREAMED),
            update(1, ROWS - 1),
            f"DELETE FROM {TABLE} WHERE id = 2",
            f"INSERT INTO {TABLE} (id) VALUES ({EMPTY})",
            f"UPDATE {TABLE} SET c_nulldef = NULL WHERE id = {EMPTY}",
            f"INSERT INTO {TABLE} (id, {names}) VALUES ({LARGE}, {', '.join(BIG.values())})",
            f"UPDATE {TABLE} SET c_i4 = 5 WHERE id = {LARGE}",
        )
        yield kafka
    finally:
        async with ConnectClient(settings) as client:
            targets = [
                Target(f"{kafka.topic_prefix}.{each.name}", f"{kafka.topic_prefix}_{each.name}", rich_dsn) for each in WAYS
            ]
            deadline = time.monotonic() + 120
            await asyncio.gather(*(teardown_connector(client, each, deadline, lambda _: None) for each in targets))


def declare(dsn: str, way: Way, folder: Path) -> Connector:
    """Declare the connector of *way*."""
    with psycopg.connect(dsn) as connection:
        info = connection.info
        (folder / "password").write_text(info.password, encoding="utf-8")
        address = f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"
    return Connector(way.name, address, (f"public.{TABLE}",), password=refer_file(folder / "password"), options=way.configure())


async def read_records(way: Way, kafka: KafkaSettings) -> list[tuple[bytes, bytes | None]]:
    """Read all that *way* wrote."""
    topic = TopicPartition(capture(way).topic(kafka), 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, isolation_level="read_committed")
    await consumer.start()
    found: list[tuple[bytes, bytes | None]] = []
    try:
        consumer.assign([topic])
        await consumer.seek_to_beginning(topic)
        async with asyncio.timeout(60):
            while len(found) < RECORDS:
                found += [(each.key, each.value) for each in (await consumer.getmany(topic, timeout_ms=500)).get(topic, [])]
    finally:
        await consumer.stop()
    return found


def strip(document: bytes) -> bytes:
    """Give what a converter without schemas writes: the payload."""
    return json.dumps(json.loads(document)["payload"]).encode()


def check_changes(changes: list[Change], expected: dict[int, dict[str, Any]], way: str) -> None:
    """Require that every change holds what the table holds; of one row only the last is compared."""
    faults = [
        f"{way} {change.op} {change.key[0]}.{name}: {value!r}, expected {expected[change.key[0]][name]!r}"
        for change in {each.key: each for each in changes}.values()
        if change.after is not None
        for name, value in change.after.items()
        if name != "id" and value is not UNCHANGED and not same(plain(value), plain(expected[change.key[0]][name]))
    ]
    assert not faults, "\n".join(faults)


async def test_every_type_in_every_mode(written: KafkaSettings, rich_dsn: str, postgres_dsn: str, engine: AsyncEngine) -> None:
    """Whatever psql wrote is in the changes, by schema and by declaration, and in the read model, as psycopg reads it."""
    source = psycopg.connect(rich_dsn, autocommit=True, options=SESSION)
    register(source)
    expected = {way.name: read_rows(source, way, {*range(3, ROWS + 1)}) for way in WAYS}
    for way in WAYS:
        records = await read_records(way, written)
        bare = Decoder(columns={"id": "int"} | {each.name: each.declaration for each in COLUMNS}, modes=way.modes)
        if way.schemas:
            decode = capture_decoder(way).decode
            changes = [change for key, value in records if (change := decode(key, value))]
            check_changes(changes, expected[way.name], way.name)
            records = [(strip(key), value and strip(value)) for key, value in records]
        changes = [change for key, value in records if (change := bare.decode(key, value))]
        check_changes(changes, expected[way.name], f"{way.name} by declaration")
        lost = {name for name in BIG if expected[way.name][LARGE][name] is None}
        assert {name for name, value in changes[-1].row.items() if value is UNCHANGED} == {*BIG} - lost, way.name
    source.close()
    await check_read_models(engine, postgres_dsn, written, expected)


def capture_decoder(way: Way) -> Decoder:
    """Give the decoder that a projection of *way* uses."""
    table = capture(way)
    return Decoder(columns=table.columns, modes=table.modes)


async def check_read_models(
    engine: AsyncEngine, postgres_dsn: str, kafka: KafkaSettings, expected: dict[str, dict[int, dict[str, Any]]]
) -> None:
    """Fold every connector's changes and require that each read model holds the table."""
    app = Projections(*map(project, WAYS))
    supervisor = Supervisor(app, engine, kafka=kafka, settings=QUICK)
    stopping = asyncio.Event()
    feeding = asyncio.create_task(supervisor.run(stopping))
    target = await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True, options=SESSION)
    forgive(target)
    try:
        for way in WAYS:
            await eventually(lambda way=way: is_fed(target, way), f"the read model of {way.name}", 60)
            check_rows(await read_kept(target, way), expected[way.name], way)
    finally:
        stopping.set()
        await feeding
        await target.close()


async def is_fed(target: psycopg.AsyncConnection, way: Way) -> bool:
    """Tell whether the last update came through."""
    parked = await (await target.execute("SELECT reason FROM projections.parked LIMIT 1")).fetchone()
    assert parked is None, parked
    schema = f"rm_matrix_{way.name}_g1"
    if (await (await target.execute("SELECT to_regclass(%s)", [f"{schema}.kept"])).fetchone()) == (None,):
        return False
    row = await (await target.execute(f"SELECT 1 FROM {schema}.kept WHERE id = %s AND c_i4 = 5", [LARGE])).fetchone()
    return row is not None


async def read_kept(target: psycopg.AsyncConnection, way: Way) -> dict[int, dict[str, Any]]:
    """Give the read model's rows by id."""
    names = ", ".join("c_iv::interval" if each.name == "c_iv" else each.name for each in COLUMNS)
    rows = await (await target.execute(f"SELECT id, {names} FROM rm_matrix_{way.name}_g1.kept")).fetchall()
    return {key: dict(zip([each.name for each in COLUMNS], values, strict=True)) for key, *values in rows}


def check_rows(found: dict[int, dict[str, Any]], expected: dict[int, dict[str, Any]], way: Way) -> None:
    """Require that the read model holds what the table holds, value by value."""
    assert found.keys() == expected.keys()
    faults = [
        f"{way.name} {key}.{column.name}: {row[column.name]!r}, expected {value!r}"
        for key, row in found.items()
        for column in COLUMNS
        if not same(row[column.name], value := as_kept(column.name, expected[key][column.name], choose(column, way)))
    ]
    assert not faults, "\n".join(faults)


def as_kept(name: str, value: Any, kind: Any) -> Any:
    """Give *value* as it is read back from the read model's column of type *kind*."""
    if name == "c_iv":
        days = isinstance(value, timedelta) and Interval(
            0, value.days, (value - timedelta(days=value.days)) // timedelta(microseconds=1)
        )
        return days or value
    return str(plain(value)) if kind is str and value is not None else store(plain(value))
