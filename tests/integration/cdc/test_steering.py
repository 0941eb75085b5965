"""Steering one real connector: stop, offsets, signals, snapshots, adopt, export, doctor and its fixes."""

from __future__ import annotations

import json

import pytest

from cdc import CapturedTable
from cdc.connect.client import ConnectClient
from cdc.connect.config import build_config
from cdc.connect.declaration import read_connector
from eventstore.log.admin import Admin
from tests.stack.waiting import eventually

ROWS = CapturedTable("operations", "public.t")


@pytest.fixture
def table(source):
    """Make a table with rows and one without a key."""
    source.sql.execute("create table t (id int primary key, name text)")
    source.sql.execute("insert into t select i, 'x' from generate_series(1, 3) i")
    return source


async def told(source, capsys, *arguments, code=0):
    """Run a command with --json, expect its exit code and give what it printed."""
    capsys.readouterr()
    assert await source.run(*arguments, "--json") == code
    return json.loads(capsys.readouterr().out)


def codes(report):
    """Shorten a doctor's report to the codes that it found."""
    (connector,) = report
    return [finding["code"] for finding in connector["findings"]]


async def test_one_connector(table, read, capsys):
    """A connector with a signal table is healthy in silence, takes snapshots and signals, stops, is moved, exported and adopted."""
    assert await table.run("apply", table.declare("public.t", extra='signals = "table"')) == 0
    assert codes(await told(table, capsys, "doctor", "operations", "--strict")) == []

    snapshot = await told(table, capsys, "snapshot", "operations", "public.t")
    assert (snapshot["succeeded"], snapshot["tables"], snapshot["channel"]) == (True, {"public.t": "SUCCEEDED"}, "table")
    blocking = await told(table, capsys, "snapshot", "operations", "public.t", "--blocking", "--where", "id = 2")
    assert blocking["rows"] == {"public.t": 1}
    messages = await read(ROWS, 7)
    assert [message.body.key[0] for message in messages] == [1, 2, 3, 1, 2, 3, 2]
    assert {message.body.op for message in messages} == {"r"}
    assert await table.run("snapshot", "operations", "public.cdc_signal") == 3
    sent = await told(table, capsys, "signal", "log", "operations", "--message", "hello {}")
    assert (sent["channel"]["name"], "log" in sent["reason"]) == ("public.cdc_signal", True)
    assert await table.run("signal", "pause-snapshot", "operations") == 0

    assert await table.run("offsets", "reset", "operations", "--yes") == 3
    assert await table.run("stop", "operations") == 0
    assert await table.run("offsets", "set", "operations", "--lsn", "0/1") == 3
    assert codes(await told(table, capsys, "doctor", "operations", code=3)) == ["RF-CDC-11", "RF-CDC-24"]
    table.sql.execute("insert into t values (4, 'skipped')")
    position = table.sql.execute("select pg_current_wal_insert_lsn()::text").fetchone()[0]
    rehearsed = await told(table, capsys, "offsets", "set", "operations", "--lsn", position)
    assert ("SKIPPED" in rehearsed["effect"], rehearsed["done"]) == (True, False)
    assert (await told(table, capsys, "offsets", "show", "operations"))["stands"] != position
    assert (await told(table, capsys, "offsets", "reset", "operations", "--yes"))["done"] is True
    assert await table.run("resume", "operations") == 0
    assert [message.body.key[0] for message in (await read(ROWS, 11))[7:]] == [1, 2, 3, 4]

    exported = await told(table, capsys, "export", "operations", "--format", "json")
    assert json.loads(exported["text"])["config"]["slot.name"] == table.slot
    adopted = table.folder / "adopted.toml"
    assert await table.run("adopt", table.name, "--as", "operations", "--output", adopted) == 0
    (plan,) = await told(table, capsys, "plan", adopted, "--detailed-exitcode")
    assert plan["steps"] == []


async def test_doctor_mends(table, capsys):
    """What was spoilt behind our back in three places is found by its codes, and --fix mends what only needs adding."""
    path = table.declare("public.t")
    assert await table.run("apply", path) == 0
    table.sql.execute(f"alter publication {table.slot} set (publish = 'insert')")
    async with Admin.open(table.kafka) as admin, ConnectClient(table.connect) as connect:
        await admin.alter_topic(f"{table.name}.public.t", {"retention.ms": "600000"})
        config = await connect.read_config(table.name)
        spoilt = {name: value for name, value in config.items() if name != "heartbeat.action.query"}
        await connect.put_config(table.name, {**spoilt, "hearbeat.interval.ms": "1"})
        assert await table.run("restart", "operations") == 0
        found = codes(await told(table, capsys, "doctor", "--file", path, "--timeout", "2", code=3))
        assert {"RF-CDC-04", "RF-CDC-14", "RF-CDC-22", "RF-CDC-30"} <= set(found)
        assert await table.run("doctor", "--file", path, "--fix", "--timeout", "2") == 3
        assert "--yes" in capsys.readouterr().err
        assert codes(await told(table, capsys, "doctor", "--file", path, "--fix", "--yes", code=3)) == ["RF-CDC-22"]
        assert (await admin.configuration(f"{table.name}.public.t"))["retention.ms"] == "-1"
    assert await table.run("apply", path) == 0
    assert codes(await told(table, capsys, "doctor", "--file", path)) == []


async def test_doctor_before_apply(table, capsys):
    """What would go wrong is found before there is a connector."""
    table.sql.execute("create table keyless (id int, g int generated always as (id) stored)")
    found = codes(await told(table, capsys, "doctor", "--file", table.declare("public.keyless"), code=3))
    assert {"RF-CDC-04", "RF-CDC-06", "RF-CDC-08"} <= set(found)


async def test_signal_topic(table, capsys):
    """With a signal topic whoever asks for a snapshot writes nothing into the database, and many heartbeats do not disturb it."""
    table.sql.execute("insert into t select i, 'x' from generate_series(4, 5000) i")
    options = '"incremental.snapshot.chunk.size" = 200\n"heartbeat.interval.ms" = 50'
    assert await table.run("apply", table.declare("public.t", extra='signals = "kafka"', options=options)) == 0
    snapshot = await told(table, capsys, "snapshot", "operations", "public.t", "--timeout", "90")
    assert (snapshot["succeeded"], snapshot["channel"], snapshot["rows"]) == (True, "topic", {"public.t": 5000})
    signals = table.sql.execute("select count(*) from cdc_signal where type like '%-snapshot'").fetchone()
    assert signals == (0,)
    assert await table.run("status", "operations") == 0


async def test_adopt_made_elsewhere(table, capsys, monkeypatch):
    """A connector that somebody made by hand, password in plain text, is adopted untouched; doctor moves the secret."""
    path = table.declare("public.t")
    ours = build_config(read_connector(path), table.kafka)
    password = table.sql.info.password or "unused"
    theirs = {name: ours[name] for name in ours if name.startswith("database.")}
    theirs |= {
        "connector.class": ours["connector.class"],
        "plugin.name": "pgoutput",
        "topic.prefix": table.name,
        "tasks.max": "1",
    }
    theirs |= {"slot.name": table.slot, "publication.name": table.slot, "publication.autocreate.mode": "filtered"}
    theirs |= {name: ours[name] for name in ours if name.startswith("topic.creation.")}
    theirs |= {"table.include.list": r"public\.t.*", "status.update.interval.ms": "500", "database.password": password}
    adopted = table.folder / "adopted.toml"
    async with ConnectClient(table.connect) as connect:
        await connect.create(table.name, theirs)
        query = "select count(*) from pg_publication_tables"

        async def publishes():
            return table.sql.execute(query).fetchone() == (1,)

        await eventually(publishes, "the connector makes its publication")
        assert await table.run("adopt", table.name, "--as", "operations", "--output", adopted) == 0
        assert await connect.read_config(table.name) == {**theirs, "name": table.name}
        (plan,) = await told(table, capsys, "plan", adopted, "--detailed-exitcode")
        assert (plan["steps"], [finding["code"] for finding in plan["findings"]]) == ([], ["secret"])
        text = adopted.read_text(encoding="utf-8")
        (table.folder / "moved").write_text(password, encoding="utf-8")
        reference = f"${{dir:{table.folder}:moved}}"
        adopted.write_text(text.replace("${env:OPERATIONS_DATABASE_PASSWORD}", reference), encoding="utf-8")
        found = codes(await told(table, capsys, "doctor", "--file", adopted, code=3))
        assert {"RF-CDC-14", "RF-CDC-23"} <= set(found)
        assert codes(await told(table, capsys, "doctor", "--file", adopted, "--fix", "--yes")) == ["RF-CDC-27"]
        assert (await connect.read_config(table.name))["database.password"] == reference
    assert password not in text
