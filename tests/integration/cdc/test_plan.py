"""`cdc plan` and `cdc apply` over PostgreSQL, Kafka and Connect at once, on real servers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from cdc.connect.client import ConnectClient
from cdc.connect.config import build_config
from cdc.connect.declaration import read_connector
from eventstore.log.admin import Admin
from tests.stack.waiting import eventually


@pytest.fixture
def tables(source):
    """Make two tables, one of them without a key."""
    source.sql.execute('create table "Odd" (id int primary key)')
    source.sql.execute("create table keyless (id int)")
    source.sql.execute('insert into "Odd" values (1)')
    return source


async def told(source, capsys, *arguments):
    """Run a command with --json and give its exit code and what it printed."""
    capsys.readouterr()
    code = await source.run(*arguments, "--json")
    return code, json.loads(capsys.readouterr().out)


async def test_three_places(tables, capsys):
    """A plan is carried out as shown; drift in all three places is shown as such and mended, and the next plan is empty."""
    path = tables.declare("public.Odd", "public.keyless", extra='full = ["public.keyless"]\npartitions = 2')
    code, (plan,) = await told(tables, capsys, "plan", path, "--detailed-exitcode")
    shown = [(step["place"], step["sign"], step["thing"]) for step in plan["steps"]]
    assert (code, {place for place, _, _ in shown}) == (7, {"PostgreSQL", "Kafka", "Connect"})
    assert shown.count(("Kafka", "+", "topic")) == 2
    assert ("PostgreSQL", "~", "table") in shown
    assert await tables.run("plan", path) == 0
    code, applied = await told(tables, capsys, "apply", path)
    assert (code, len(applied["steps"])) == (0, len(plan["steps"]))
    code, (plan,) = await told(tables, capsys, "plan", path, "--detailed-exitcode")
    assert (code, plan["steps"]) == (0, [])

    tables.sql.execute(f'alter publication {tables.slot} set table "Odd"')
    async with Admin.open(tables.kafka) as admin, ConnectClient(tables.connect) as connect:
        topic = f"{tables.name}.public.Odd"
        await admin.alter_topic(topic, {"retention.ms": "600000", "segment.ms": "300000"})
        await connect.put_config(tables.name, {**await connect.read_config(tables.name), "max.batch.size": "7"})
        code, (plan,) = await told(tables, capsys, "plan", path, "--detailed-exitcode")
        changed = {
            step["place"]: [(each["name"], each["old"], each["new"]) for each in step["changes"]] for step in plan["steps"]
        }
        assert (code, changed) == (7, {
            "PostgreSQL": [("tables", "public.Odd", "public.Odd, public.keyless")],
            "Kafka": [("retention.ms", "600000", "-1")],
            "Connect": [("max.batch.size", "7", "8192")],
        })  # fmt: skip
        assert await tables.run("apply", path) == 0
        mended = await admin.configuration(topic)
        assert (mended["retention.ms"], mended["segment.ms"]) == ("-1", "300000")
    assert await tables.run("plan", path, "--detailed-exitcode") == 0


async def test_all_or_nothing(tables, capsys):
    """When one of several declarations can't be applied, none of them is."""
    tables.declare("public.Odd")
    first = (tables.folder / "operations.toml").read_text(encoding="utf-8")
    second = first.replace('"operations"', '"second"', 1).replace("public.Odd", "public.absent")
    (tables.folder / "second.toml").write_text(second, encoding="utf-8")
    assert await tables.run("apply", tables.folder) == 3
    assert "public.absent does not exist" in capsys.readouterr().err
    async with ConnectClient(tables.connect) as connect:
        assert await connect.read_config(tables.name) is None
    (tables.folder / "second.toml").write_text(first, encoding="utf-8")
    assert await tables.run("plan", tables.folder) == 2
    assert "both declare" in capsys.readouterr().err


async def test_breaking_needs_leave(tables, capsys):
    """A change of the records' form is refused, nothing changed, until --allow-breaking is given."""
    assert await tables.run("apply", tables.declare("public.Odd")) == 0
    path = tables.declare("public.Odd", options='"decimal.handling.mode" = "double"')
    assert await tables.run("apply", path) == 3
    assert "--allow-breaking" in capsys.readouterr().err
    assert await tables.run("apply", path, "--allow-breaking") == 0


async def test_apply_through_rebalances(tables):
    """An apply comes through while another connector's configuration changes all the time and keeps the cluster rebalancing."""
    path, noise = tables.declare("public.Odd"), f"{tables.kafka.topic_prefix}.noise"
    other = {**build_config(replace(read_connector(path), name="noise"), tables.kafka), "exactly.once.support": "requested"}
    async with ConnectClient(tables.connect) as connect:
        await connect.create(noise, other, stopped=True)
        disturbed, ended = 0, asyncio.Event()

        async def disturb():
            nonlocal disturbed
            while not ended.is_set():
                disturbed += 1
                await connect.put_config(noise, {**other, "poll.interval.ms": str(disturbed)})

        async def is_disturbed():
            return disturbed > 3

        disturbing = asyncio.create_task(disturb())
        try:
            await eventually(is_disturbed, "a cluster that rebalances")
            before = disturbed
            assert await tables.run("apply", path) == 0
            assert disturbed > before
        finally:
            ended.set()
            await disturbing
            await connect.delete(noise)
