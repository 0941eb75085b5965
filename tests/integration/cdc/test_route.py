"""Debezium in the relay's place: the same records, and nothing lost or repeated where one follows the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from cdc.cli import main
from cdc.connect.client import ConnectClient
from cdc.connect.declaration import read_connector
from cdc.connect.settings import ConnectSettings
from cdc.database import open_database
from cdc.route import Switch, switch_off, switch_on
from cdc.steer import stop_connector
from eventstore import KafkaSettings, NewEvent, PostgresSettings, RawEvent, RelaySettings
from eventstore.codec import decode
from eventstore.errors import PreconditionFailed
from eventstore.postgres import PostgresEventStore, migrate, open_engine
from eventstore.postgres.routes import close_route
from eventstore.relay import Relay
from tests.integration.eventstore.topic import read_topic
from tests.stack.waiting import eventually

SOURCE = "/shop/ünï"
APPEND = 'SELECT * FROM eventstore.append_v1(\'s\', -1, ARRAY[gen_random_uuid()], \'[{"t": "x", "v": 1, "d": {}}]\')'
AWKWARD = ["plain-1", 'we"ird\\näme\n\x01\x7f', "größe-€-🛫", "a/b?c=d&e"]


class Route:
    """A store, its topic, and the switch between the routes."""

    def __init__(self, postgres: PostgresSettings, kafka: KafkaSettings, declared: Path) -> None:
        self.postgres, self.kafka, self.declared = postgres, kafka, declared
        self.relay = RelaySettings(source=SOURCE, lease_s=1, watch_s=0.05)

    @property
    def switch(self) -> Switch:
        """A switch with a minute from now."""
        return Switch(read_connector(self.declared), self.postgres, self.kafka, self.relay, time.monotonic() + 60, print)


@pytest.fixture
async def route(
    postgres_dsn: str, connect_url: str, kafka_bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Route]:
    """Give a migrated store and the declaration of its route; whatever is on is switched off afterwards."""
    monkeypatch.setenv("REFOLD_CONNECT_URL", connect_url)
    assert ConnectSettings().url
    info = psycopg.conninfo.conninfo_to_dict(postgres_dsn)
    password = ""
    if info.get("password"):
        (tmp_path / "password").write_text(str(info["password"]), encoding="utf-8")
        password = 'password_file = "password"\n'
    declared = tmp_path / "route.toml"
    declared.write_text(
        f'[connector]\nname = "route"\ndsn = "postgresql://{info["user"]}@{info["host"]}:{info["port"]}/{info["dbname"]}"\n'
        f'tables = ["eventstore.event"]\n{password}',
        encoding="utf-8",
    )
    postgres = PostgresSettings(dsn=SecretStr(postgres_dsn))
    engine = open_engine(postgres)
    await migrate.migrate(engine)
    await engine.dispose()
    route = Route(postgres, KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix, partitions=3), declared)
    yield route
    await switch_off(route.switch)


def vary(number: int) -> NewEvent:
    """Make an event that is awkward to write in its own way."""
    data = {
        "n": number,
        "big": 9223372036854775807,
        "exact": 1.10,
        "tiny": 1e-7,
        "text": AWKWARD[number % 4],
        "deep": {"é": [None, True, {}, [], -0.0]},
    }
    metadata = [
        {},
        {"traceparent": '00-"1"\u2028', "correlationid": "c-1", "n": number},
        {"causationid": 7, "tracestate": None, "k": "ü"},
        {"tracestate": "a=b", "causationid": "x\\y"},
    ][number % 4]
    at = datetime(2020, 2, 29, 12, 0, number % 60, [0, 1, 120_000, 999_999][number % 4], UTC) if number % 3 else None
    tags = frozenset({"order:1", 'ü"x'}) if number % 5 == 0 else frozenset()
    return NewEvent(RawEvent(["moved", 'awk"ward\t'][number % 2], data), metadata=metadata, occurred_at=at, tags=tags)


async def write(store: PostgresEventStore, count: int, first: int = 0) -> None:
    for each in range(first, first + count, 2):
        await store.append(AWKWARD[each % 4] + str(each % 3), [vary(each), vary(each + 1)])


async def test_same_records(route: Route) -> None:
    """Debezium's records equal the relay's in value, key, header, partition and order within streams, over awkward events."""
    other = route.kafka.model_copy(update={"topic_prefix": f"{route.kafka.topic_prefix}-relay"})
    async with PostgresEventStore.open(route.postgres) as store:
        await switch_on(route.switch)
        await write(store, 60)

        async def arrived() -> bool:
            return sum(map(len, (await read_topic(route.kafka)).values())) >= 60

        await eventually(arrived, "60 records by Debezium")
        engine = open_engine(route.postgres)
        await eventually(lambda: count(store, 60), "60 readable events")
        await Relay(engine, other, route.relay).drain()
        await engine.dispose()
    assert by_stream(await read_topic(route.kafka)) == by_stream(await read_topic(other))


async def count(store: PostgresEventStore, events: int) -> bool:
    return await store.count() == events


def by_stream(topic: dict[int, list]) -> dict[tuple, list]:
    """Give what must be equal: the records of each stream in order, with everything but offset and time."""
    found: dict[tuple, list] = {}
    for partition, records in topic.items():
        for record in records:
            found.setdefault((partition, record.key), []).append((record.value, record.headers))
    return found


async def test_there_and_back(route: Route) -> None:
    """History by the relay, a while by Debezium, then the relay again: every event once, each stream in order, while writers write."""
    stop = asyncio.Event()
    engine = open_engine(route.postgres)
    async with PostgresEventStore.open(route.postgres, engine=engine) as store:
        relay = Relay(engine, route.kafka, route.relay)
        running = asyncio.create_task(relay.run(stop))
        written = 0

        async def keep_writing() -> None:
            nonlocal written
            while not stop.is_set():
                await write(store, 2, written)
                written += 2

        writing = asyncio.create_task(keep_writing())
        for turn in (switch_on, switch_off):
            seen = written
            await eventually(lambda seen=seen: reached(lambda: written > seen + 40), "40 more events")
            await turn(route.switch)
        seen = written
        await eventually(lambda: reached(lambda: written > seen + 40), "40 more events by the relay")
        stop.set()
        await writing
        await running
        await eventually(lambda: count(store, written), f"{written} readable events")
        await Relay(engine, route.kafka, route.relay).drain()
        topic = await read_topic(route.kafka)
        applied: dict[str, list[int]] = {}
        for record in [record for records in topic.values() for record in records]:
            document = decode(record.value)
            applied.setdefault(document["subject"], []).append(document["streamversion"])
    await engine.dispose()
    assert sum(map(len, applied.values())) == written
    assert applied == {stream: list(range(1, len(versions) + 1)) for stream, versions in applied.items()}


async def reached(condition: Callable[[], bool]) -> bool:
    return condition()


async def test_truncate_is_survived(route: Route) -> None:
    """TRUNCATE, UPDATE and DELETE of the event table do not stop the connector: later events arrive."""
    await switch_on(route.switch)
    async with PostgresEventStore.open(route.postgres) as store:
        await write(store, 4)
        with psycopg.connect(route.postgres.dsn.get_secret_value(), autocommit=True) as connection:
            connection.execute("ALTER TABLE eventstore.event DISABLE TRIGGER event_append_only")
            connection.execute("UPDATE eventstore.event SET type = 'other'")
            connection.execute("DELETE FROM eventstore.event WHERE version = 1")
            connection.execute("TRUNCATE eventstore.event")
            connection.execute("ALTER TABLE eventstore.event ENABLE ALWAYS TRIGGER event_append_only")
        await store.append("later", [vary(1)])

    async def arrived() -> bool:
        return sum(map(len, (await read_topic(route.kafka)).values())) == 5

    await eventually(arrived, "the event after the truncate")


async def test_command(route: Route, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command switches on, again without effect, shows who carries, refuses other tables, and switches off."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", route.postgres.dsn.get_secret_value())
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", route.kafka.bootstrap)
    monkeypatch.setenv("REFOLD_KAFKA_TOPIC_PREFIX", route.kafka.topic_prefix)
    monkeypatch.setenv("REFOLD_KAFKA_PARTITIONS", "3")

    async def run(what: str, *, code: int = 0) -> tuple[str, str]:
        assert await asyncio.to_thread(main, ["route", what, str(route.declared)]) == code
        return capsys.readouterr()

    assert (await run("status"))[0] == "carried by the relay\n"
    for what in ("on", "on", "status"):
        assert (await run(what))[0] == "carried by Debezium, from position 0 on\n"
    with psycopg.connect(route.postgres.dsn.get_secret_value()) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(psycopg.Error, match="READ COMMITTED transactions only"):
            connection.execute(APPEND)
    assert (await run("off"))[0] == "carried by the relay\n"
    route.declared.write_text(route.declared.read_text("utf-8").replace("eventstore.event", "public.orders"), "utf-8")
    assert "the event store's own table" in (await run("on", code=2))[1]
    route.declared.write_text(route.declared.read_text("utf-8").replace("public.orders", "eventstore.event"), "utf-8")


async def test_lost_slot(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot lost while Debezium carries loses no event: the missing come from the table, once and in order, also by a second run."""
    for name in ("bootstrap", "topic_prefix", "partitions"):
        monkeypatch.setenv(f"REFOLD_KAFKA_{name.upper()}", str(getattr(route.kafka, name)))
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", route.postgres.dsn.get_secret_value())
    async with PostgresEventStore.open(route.postgres) as store:
        await write(store, 10)
        await switch_on(route.switch)
        await write(store, 20, 10)
        async with ConnectClient() as connect:
            await stop_connector(connect, route.switch.target, time.monotonic() + 60)
        await write(store, 20, 30)
        async with open_database(route.postgres.dsn.get_secret_value()) as database:
            assert await database.drop_slot(route.switch.target.slot)
        with pytest.raises(PreconditionFailed, match="cdc recover"):
            await switch_on(route.switch)
        engine = open_engine(route.postgres)
        assert await close_route(engine)  # as a run does that is killed at once
        await engine.dispose()
        assert await asyncio.to_thread(main, ["recover", str(route.declared), "--json"]) == 0
        await write(store, 20, 50)

        async def arrived() -> bool:
            return sum(map(len, (await read_topic(route.kafka)).values())) >= 70

        await eventually(arrived, "70 records", 60)
        await eventually(lambda: count(store, 70), "70 readable events", 60)
        await require_streams(store, route.kafka)


async def require_streams(store: PostgresEventStore, kafka: KafkaSettings) -> None:
    """Fail unless the topic has every event of the store once, each stream in its order."""
    expected: dict[str, list[str]] = {}
    async for each in store.read_all(decoded=False):
        expected.setdefault(each.stream, []).append(str(each.id))
    found: dict[str, list[str]] = {}
    for records in (await read_topic(kafka)).values():
        for each in records:
            document = decode(each.value)
            found.setdefault(document["subject"], []).append(document["id"])
    assert found == expected
