"""Somebody else does something between a look and the deed, or a worker of the cluster hears of a connector a moment late."""

from __future__ import annotations

import time

import httpx
import pytest

from cdc import CapturedTable
from cdc.apply import apply_connector, read_plan
from cdc.cli.fleet import expand_names
from cdc.connect.client import ConnectClient
from cdc.connect.config import build_config, find_names
from cdc.connect.declaration import read_connector
from cdc.database import open_database
from cdc.proof import ConnectorFailed, Proof
from cdc.snapshot import Runner
from cdc.steer import Target, await_standing, stop_connector, teardown_connector
from eventstore.errors import HeldElsewhere, PreconditionFailed, TimedOut
from tests.integration.cdc.front import open_front
from tests.stack.waiting import eventually, until

ROWS = CapturedTable("operations", "public.t")


@pytest.fixture
def declared(source):
    """Make a table with rows, and declare a connector on it."""
    source.sql.execute("create table t (id int primary key, name text)")
    source.sql.execute("insert into t select i, 'x' from generate_series(1, 3) i")
    return read_connector(source.declare("public.t"))


def make_slot(source):
    """Make the slot as a connector does that is about to take its snapshot: nobody reads it yet."""
    source.sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (source.slot,))


async def test_two_apply_at_once(source, declared):
    """Of two that make a connector at once one is refused, and leaves the slot alone that the other's snapshot goes by."""
    make_slot(source)

    async def overtake():
        async with ConnectClient(source.connect) as other:
            await other.create(source.name, build_config(declared, source.kafka), stopped=True)
        source.sql.execute("select pg_drop_replication_slot(%s)", (source.slot,))
        make_slot(source)

    async with open_front(source.connect.url) as front:
        front.do_before("POST", "/connectors", overtake)
        with pytest.raises(HeldElsewhere, match="someone else made"):
            await apply_connector(declared, kafka=source.kafka, settings=front.settings)
        assert front.is_done
    assert source.read_slot() is not None
    async with ConnectClient(source.connect) as connect:
        assert (await connect.read_state(source.name)).state == "STOPPED"


async def test_made_anew_during_teardown(source, declared):
    """A teardown leaves slot and publication alone when somebody makes the connector anew before it; the next takes all away."""
    config, target = build_config(declared, source.kafka), Target(source.name, source.slot, source.dsn)
    make_slot(source)
    source.sql.execute(f"create publication {source.slot} for table t")
    async with open_front(source.connect.url) as front, ConnectClient(front.settings) as connect:
        await connect.create(source.name, config, stopped=True)
        front.do_after("DELETE", f"/{source.name}", lambda: connect.create(source.name, config, stopped=True))
        with pytest.raises(HeldElsewhere, match="left to it"):
            await teardown_connector(connect, target, time.monotonic() + 120, lambda _: None)
        assert front.is_done
        assert source.read_slot() is not None
        assert source.sql.execute("select count(*) from pg_publication").fetchone() == (1,)
        await await_standing(connect, source.name, "STOPPED", time.monotonic() + 60)
        gone = await teardown_connector(connect, target, time.monotonic() + 120, lambda _: None)
    assert gone == {"connector": True, "slot": True, "publication": True}


async def test_hears_late_of_a_new_connector(source, declared, read):
    """Offsets of a deleted namesake are deleted although the worker that is asked does not know the new connector at once."""
    async with ConnectClient(source.connect) as connect:
        await connect.create(source.name, build_config(declared, source.kafka), stopped=True)
        offset = {"lsn": 1, "lsn_proc": 1, "lsn_commit": 1, "messageType": "INSERT", "txId": 0, "ts_usec": 0}
        await connect.write_offsets(source.name, [{"partition": {"server": source.name}, "offset": offset}])
        assert await connect.delete(source.name)
    async with open_front(source.connect.url) as front:

        async def made():
            front.hide("GET", f"/{source.name}/config", 2)
            front.hide("DELETE", f"/{source.name}/offsets", 2)

        front.do_before("POST", "/connectors", made)
        await apply_connector(declared, kafka=source.kafka, settings=front.settings)
        assert front.is_done
    assert [message.body.key[0] for message in await read(ROWS, 3)] == [1, 2, 3]


async def test_pattern_finds_a_new_connector(source, declared):
    """A pattern matches a connector that no worker has taken over yet."""
    async with open_front(source.connect.url) as front, ConnectClient(front.settings) as connect:
        await connect.create(source.name, build_config(declared, source.kafka), stopped=True)
        front.forget(source.name)
        assert await expand_names(connect, source.kafka, ["oper*"]) == ["operations"]
        state, config = (await connect.list_connectors())[source.name]
        assert (state.state, config["slot.name"]) == ("UNASSIGNED", source.slot)


def stop_at_once(source):
    """Stop the connector as another operator, and return when Connect says so."""
    place = f"{source.connect.url}/connectors/{source.name}"
    httpx.put(f"{place}/stop").raise_for_status()
    until(lambda: httpx.get(f"{place}/status").json()["connector"]["state"] == "STOPPED", "somebody stops the connector")


async def test_others_stop_what_is_waited_for(source):
    """A snapshot or proof whose connector fails or is stopped meanwhile ends with its cause instead of when patience does."""
    source.sql.execute("create table t (id int primary key)")
    connector = read_connector(source.declare("public.t", extra='signals = "table"'))
    names, target = find_names(connector, source.kafka), Target(source.name, source.slot, None)
    await apply_connector(connector, kafka=source.kafka, settings=source.connect)
    async with (
        open_front(source.connect.url) as front,
        ConnectClient(front.settings) as connect,
        ConnectClient(source.connect) as other,
        open_database(source.dsn) as database,
    ):
        runner = Runner(connect, database, source.kafka, names, lambda _: None)

        async def runs():
            return (await other.read_state(source.name)).is_running

        async def fails():
            return (await other.read_state(source.name)).failure

        async def spoil():
            await other.put_config(source.name, {**await other.read_config(source.name), "publication.name": "absent"})
            await eventually(fails, "the task misses its publication")

        front.do_after("GET", "/status", lambda: stop_connector(other, target, time.monotonic() + 60))
        with pytest.raises(TimedOut, match=r"STOPPED.* after `cdc resume`"):
            await runner.run(["public.t"], time.monotonic())
        await other.resume(source.name)
        await eventually(runs, "the connector goes on")
        proof = Proof(other, database, source.name, source.slot, time.monotonic() + 60, lambda _: stop_at_once(source))
        with pytest.raises(PreconditionFailed, match=r"is STOPPED now.* `cdc resume`"):
            await proof.wait()
        await other.resume(source.name)
        await eventually(runs, "the connector goes on again")
        front.do_after("GET", "/status", spoil)
        with pytest.raises(ConnectorFailed, match="meanwhile"):
            await runner.run(["public.t"], time.monotonic() + 60)
        assert front.is_done


async def test_publication_gains_a_table_meanwhile(source):
    """What somebody else adds to the publication of an adopted connector between the look and the change stays in it."""
    source.sql.execute("create table t (id int primary key)")
    source.sql.execute("create table mine (id int primary key)")
    source.sql.execute("create table theirs (id int primary key)")
    source.sql.execute(f"create publication {source.slot} for table mine where (id > 5)")
    path = source.declare("public.t")
    adopted = f'\n[adopted]\nconnector = "{source.name}"\nprefix = "{source.name}"\npublication = "{source.slot}"\n'
    path.write_text(path.read_text(encoding="utf-8") + adopted, encoding="utf-8")
    plan = await read_plan(read_connector(path), kafka=source.kafka, settings=source.connect)
    source.sql.execute(f"alter publication {source.slot} add table theirs")
    async with open_database(source.dsn) as database:
        for step in plan.steps:
            if step.thing == "publication":
                await database.execute(step.statement)
    query = "select tablename, rowfilter from pg_publication_tables where pubname = %s order by 1"
    published = source.sql.execute(query, (source.slot,)).fetchall()
    assert published == [("mine", "(id > 5)"), ("t", None), ("theirs", None)]


async def test_stops_while_offsets_are_weighed(source, monkeypatch, capsys):
    """A position is held against where the slot stands once the connector has stopped, not against where it stood before."""
    source.sql.execute("create table t (id int primary key)")
    path = source.declare("public.t", options='"heartbeat.interval.ms" = 0')
    await apply_connector(read_connector(path), kafka=source.kafka, settings=source.connect)
    before = source.read_slot()[1]

    async def moves():
        source.sql.execute("select pg_logical_emit_message(true, 'cdc_kick', 'x')")
        return source.read_slot()[1] != before

    async def stop():
        await eventually(moves, "the slot moves on")
        async with ConnectClient(source.connect) as other:
            await stop_connector(other, Target(source.name, source.slot, None), time.monotonic() + 60)

    async with open_front(source.connect.url) as front:
        monkeypatch.setenv("REFOLD_CONNECT_URL", front.settings.url)
        front.do_before("GET", "/status", stop)
        assert await source.run("offsets", "set", "operations", "--lsn", before) == 3
        assert "has let go of everything before" in capsys.readouterr().err
        assert front.is_done
