"""`cdc status` tells what Connect's RUNNING hides."""

from __future__ import annotations

import json

import pytest

from cdc.connect.client import ConnectClient
from tests.stack.waiting import eventually, until


@pytest.fixture
async def applied(source):
    """Apply a connector on one table."""
    source.sql.execute("create table t (id int primary key)")
    assert await source.run("apply", source.declare("public.t")) == 0
    return source


async def status(source, capsys, *arguments):
    """Run `cdc status --json` and give its exit code and the one connector it tells of."""
    capsys.readouterr()
    code = await source.run("status", "operations", "--json", *arguments)
    (told,) = json.loads(capsys.readouterr().out)
    return code, told


async def test_healthy_then_paused(applied, capsys):
    """A capturing connector is healthy by proof; paused it is not; resume, restart and apply each set it going again."""
    code, told = await status(applied, capsys)
    assert (code, told["healthy"], told["proved"], told["tables"]) == (0, True, True, ["public.t"])
    assert await applied.run("pause", "operations") == 0
    code, told = await status(applied, capsys)
    assert (code, told["healthy"], [finding["code"] for finding in told["findings"]]) == (3, False, ["state"])
    assert await applied.run("resume", "operations") == 0
    assert await applied.run("restart", "operations") == 0
    assert await applied.run("pause", "operations") == 0
    assert await applied.run("apply", applied.declare("public.t")) == 0
    capsys.readouterr()
    assert await applied.run("status", "--json") == 0
    assert [told["connector"] for told in json.loads(capsys.readouterr().out)] == [applied.name]


async def test_publication_drift(applied, capsys):
    """A table taken out of the publication behind our back is not healthy although everything runs, and apply repairs it."""
    applied.sql.execute("create table other (id int primary key)")
    applied.sql.execute(f"alter publication {applied.slot} set table other")
    code, told = await status(applied, capsys)
    assert (code, {finding["code"] for finding in told["findings"]}) == (3, {"publication"})
    assert await applied.run("apply", applied.declare("public.t")) == 0
    assert (await status(applied, capsys))[0] == 0


async def test_slot_dropped(applied, capsys):
    """Without its slot a connector is not healthy, whatever Connect says."""
    async with ConnectClient(applied.connect) as connect:
        await connect.stop(applied.name)
        until(lambda: applied.read_slot()[0] is False, "the slot is released")
        applied.sql.execute("select pg_drop_replication_slot(%s)", (applied.slot,))
        code, told = await status(applied, capsys)
        assert (code, {finding["code"] for finding in told["findings"]}) == (3, {"state", "slot"})
        await connect.resume(applied.name)

        async def failed():
            state = await connect.read_state(applied.name)
            return state and state.failure

        await eventually(failed, "the task fails for want of its slot")
    code, told = await status(applied, capsys)
    assert (code, "failed" in {finding["code"] for finding in told["findings"]}) == (3, True)


async def test_failed_task_is_told(source, capsys):
    """A value that Debezium can't send is warned of by apply, stops the connector, and is told with what helps."""
    source.sql.execute("create table t (id int primary key, n int, flags bool[])")
    source.sql.execute("alter table t alter flags set storage external")
    assert await source.run("apply", source.declare("public.t")) == 0
    assert "flags (boolean[])" in capsys.readouterr().err
    source.sql.execute("insert into t select 1, 1, array_agg(i % 2 = 0) from generate_series(1, 9000) i")
    source.sql.execute("update t set n = 2")
    async with ConnectClient(source.connect) as connect:

        async def failed():
            state = await connect.read_state(source.name)
            return state and state.failure

        await eventually(failed, "the task fails for a value it can't send")
    code, told = await status(source, capsys)
    (finding,) = [finding for finding in told["findings"] if finding["code"] == "failed"]
    assert (code, "public.t.flags" in finding["what"], "REPLICA IDENTITY FULL" in finding["remedy"]) == (3, True, True)
