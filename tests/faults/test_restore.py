"""A dump carries a store to another server, whose transaction ids start lower: what goes wrong without care, and what does not."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text

from compose.postgres import find_binaries
from eventstore import START, KafkaSettings, RawEvent
from eventstore.cli import main
from eventstore.errors import PreconditionFailed, RestoredElsewhere
from eventstore.postgres import PostgresEventStore, checkout, migrate
from eventstore.postgres.era import settle
from eventstore.relay import Relay
from tests.faults.clusters import Cluster, run
from tests.faults.records import all_marked, read_records


async def append(store: PostgresEventStore, events: int) -> None:
    for each in range(events):
        await store.append(f"s{each % 3}", [RawEvent("x", {"n": each})])


def dump(cluster: Cluster, path: Path) -> Path:
    run("pg_dump", "-Fc", "-d", cluster.dsn, "-f", str(path))
    return path


def restore(path: Path, cluster: Cluster) -> Cluster:
    run("pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "-d", cluster.dsn, str(path))
    return cluster


@pytest.fixture(scope="module")
async def old(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A store of 30 events on a server that has used up 5,000 transaction ids."""
    cluster = await Cluster.start(tmp_path_factory.mktemp("old"))
    async with cluster.store() as store:
        await append(store, 15)
        cluster.burn(5_000)
        await append(store, 15)
    yield cluster
    await cluster.end()


@pytest.fixture(scope="module")
def path(old: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the dump of that store."""
    return dump(old, tmp_path_factory.mktemp("dump") / "store.dump")


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Start another server, whose transaction ids are low."""
    cluster = await Cluster.start(tmp_path_factory.mktemp("new"))
    yield cluster
    await cluster.end()


@pytest.fixture
def new(server: Cluster, path: Path) -> Cluster:
    """Restore the dump into a database of this test's own on the other server."""
    return restore(path, server.database(f"db_{uuid.uuid4().hex[:8]}"))


async def test_restored_store_goes_on(old: Cluster, new: Cluster, kafka: KafkaSettings) -> None:
    """Append, relay, dump, restore, append, relay: the log has every event once, in order; tokens from before stay good."""
    async with old.store() as store:
        await Relay(store.engine, kafka).drain()
        token = await store.head()
    async with new.engine() as engine:
        assert (await settle(engine)).shift > 1_000
    async with new.store() as store:
        assert await store.head() == token
        await append(store, 30)
        assert await store.count(token) == 30
        done = await Relay(store.engine, kafka).drain()
        stored = [each async for each in store.read_all(decoded=False)]
    assert done.published == 30
    positions = [each.position for each in stored]
    assert positions == sorted(positions)
    assert len({*positions}) == 60
    await all_marked(kafka)
    records = await read_records(kafka)
    assert sorted(each["id"] for each in records) == sorted(str(each.id) for each in stored)
    for stream in ("s0", "s1", "s2"):
        versions = list(range(1, 21))
        assert [each["streamversion"] for each in records if each["subject"] == stream] == versions
        assert [each.version for each in stored if each.stream == stream] == versions


async def test_unsettled_store_refuses(new: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is settled a restored store records nothing and reads nothing in order, and says which command to run."""
    [(mine, newest)] = new.query("SELECT pg_current_xact_id()::text::bigint, max(xid::text::bigint) FROM eventstore.event")
    assert mine < newest, "the reason for all this"
    with pytest.raises(RestoredElsewhere, match="eventstore restored"):
        async with PostgresEventStore.open(new.settings):
            pass
    append_one = 'SELECT * FROM eventstore.append_v1(\'new\', -1, ARRAY[gen_random_uuid()], \'[{"t": "x", "v": 1, "d": {}}]\')'
    for statement in (append_one, "SELECT * FROM eventstore.event WHERE xid < eventstore.horizon_v1()"):
        with pytest.raises(psycopg.DatabaseError) as refused:
            new.query(statement)
        assert refused.value.sqlstate == "RF019"
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", new.dsn)
    commands = (["doctor"], ["restored"], ["restored", "--json"], ["doctor", "--limit", "99"])
    assert [await asyncio.to_thread(main, each) for each in commands] == [3, 0, 0, 0]
    assert new.query(append_one)


async def test_transactions_that_run_meanwhile(new: Cluster) -> None:
    """Settling waits for nobody, and a transaction that began before it still appends after everything that was restored."""
    newest = new.query("SELECT max(xid::text::bigint) FROM eventstore.event")[0][0]
    visible = "SELECT pg_visible_in_snapshot(%s::text::xid8, eventstore.snapshot_v1())"
    async with new.engine() as engine, checkout(engine) as early, early.transaction():
        await early.execute("SELECT pg_current_xact_id()")
        assert (await settle(engine)).changed
        async with PostgresEventStore.open(new.settings, engine=engine) as store:
            late = await store.append("s0", [RawEvent("x", {})])
            mine = await store.append("fresh", [RawEvent("x", {})], connection=early)
            assert late.position.xid > mine.position.xid > newest
            seen = [new.query(visible, str(each))[0][0] for each in (newest, late.position.xid, mine.position.xid)]
            assert seen == [True, True, False]
            assert await store.count() == 30


async def test_restored_twice(old: Cluster, new: Cluster, tmp_path: Path) -> None:
    """A restored store can be dumped and restored again, on a server whose ids are lower or higher; the order goes on."""
    places = [new, old.database("twice")]
    old.burn(1_000)
    last, shifts = START, list[int]()
    for place in places:
        if place is not new:
            restore(dump(new, tmp_path / "again.dump"), place)
        async with place.engine() as engine:
            shifts.append((await settle(engine)).shift)
        async with place.store() as store:
            await append(store, 6)
            positions = [each.position async for each in store.read_all(decoded=False)]
        assert all(before < after for before, after in pairwise(positions))
        assert positions[-1] > last
        last = positions[-1]
    assert shifts[0] > 1_000
    assert shifts[1] == 0


async def test_copies_of_files(old: Cluster, tmp_path: Path) -> None:
    """A copy of the files, or of the database within the server, carries the counter too: there is nothing to settle."""
    copy = Cluster(tmp_path / "copy")
    old.copy_to(copy)
    await copy.up()
    try:
        async with copy.store() as store:
            assert await settle(store.engine) == (False, 0)
            assert (await store.append("s0", [RawEvent("x", {})])).version == 11
            assert await store.count() == 31
    finally:
        await copy.end()
    async with old.database("twin", template="refold").store() as store:
        assert (await settle(store.engine)).changed is False


async def test_older_dump_than_the_log(server: Cluster, new: Cluster, path: Path, kafka: KafkaSettings) -> None:
    """When the log has events that the dump lacks, the relay refuses and names the event instead of hiding the loss."""
    late = restore(path, server.database("late"))
    for place in (new, late):
        async with place.engine() as engine:
            await settle(engine)
    async with new.store() as store:
        await append(store, 1)
        await Relay(store.engine, kafka).drain()
    async with late.store() as store:
        await append(store, 3)
        with pytest.raises(PreconditionFailed, match="restored to an earlier state"):
            await Relay(store.engine, kafka).drain()


async def test_one_clock(old: Cluster) -> None:
    """No function of the schema asks the server for its own transaction ids, whichever revision made it."""
    raw = """SELECT proname FROM pg_proc WHERE pronamespace = 'eventstore'::regnamespace
        AND prosrc ~ 'pg_current_(xact_id|snapshot)\\(\\)' ORDER BY 1"""
    found = {row[0] for row in old.query(raw)}
    assert found == {"current_xid_v1", "horizon_v1", "restored_v1", "snapshot_v1"}, "take it from eventstore.current_xid_v1"


async def test_migrated_in_a_savepoint(server: Cluster) -> None:
    """Migrated within a savepoint of the user's own transaction the store is settled as well, and a shifted one can't go down."""
    new = server.database("savepoint")
    async with new.engine() as engine, engine.begin() as connection, connection.begin_nested():
        await connection.execute(text("SELECT pg_current_xact_id()"))
        await connection.run_sync(migrate.upgrade)
    async with new.store() as store:
        await append(store, 3)
        assert await store.count() == 3
    new.query("UPDATE eventstore.era SET shift = 7, row_xid = pg_current_xact_id()::text::bigint")
    with pytest.raises(psycopg.errors.RaiseException, match="run backwards"):
        new.query((migrate.migrations_directory() / "versions" / "v0009_restore.down.sql").read_text())


async def test_page_is_true(old: Cluster, tmp_path: Path) -> None:
    """Whoever types what the page says, first on the old server, then on the new one, has a store that goes on."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "restore-a-dump.md").read_text("utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    new = Cluster(tmp_path / "shop")
    new.stack.state.make()
    shutil.copy(old.stack.state.directory / "password", new.stack.state.directory)  # the roles bring their passwords along
    await new.up()
    try:
        shop = new.database("shop")
        for block, cluster in zip(blocks, (old, shop), strict=True):
            for command in re.findall(r"^\$ (.+)$", block, re.MULTILINE):
                await asyncio.to_thread(type_in, command, cluster, tmp_path)
        async with shop.store() as store:
            assert (await store.append("s0", [RawEvent("x", {})])).version == 11
            assert await store.count() == 31
    finally:
        await new.end()


def type_in(command: str, cluster: Cluster, folder: Path) -> None:
    """Run one command of the page, for the database of *cluster*."""
    info = conninfo_to_dict(cluster.dsn)
    names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "dbname"}
    environment = {
        **os.environ,
        **{name: str(info[key]) for name, key in names.items()},
        "PATH": os.pathsep.join((str(find_binaries()), str(Path(sys.executable).parent), os.environ["PATH"])),
        "REFOLD_POSTGRES_DSN": cluster.dsn,
        "REFOLD_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    }
    done = subprocess.run(command.split(), cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
