"""Connectors that are declared to stand, and commands that take several, on the real Connect."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from cdc.connect.client import ConnectClient
from cdc.connect.config import build_config
from cdc.connect.declaration import read_connector
from cdc.steer import await_standing


async def told(source, capsys, *arguments, code=0):
    """Run a command with --json, expect its exit code and give what it printed."""
    capsys.readouterr()
    assert await source.run(*arguments, "--json") == code
    return json.loads(capsys.readouterr().out)


async def test_declared_state(source, capsys):
    """Made paused, a connector makes no slot; the plan says each difference in state, and apply brings it there and back."""
    source.sql.execute("create table t (id int primary key)")
    async with ConnectClient(source.connect) as connect:
        for state, verb in (("paused", "create-connector"), ("running", "resume"), ("paused", "pause"), ("stopped", "stop")):
            path = source.declare("public.t", extra=f'state = "{state}"')
            (plan,) = await told(source, capsys, "plan", path, "--detailed-exitcode", code=7)
            assert plan["steps"][-1]["action"] == verb
            applied = await told(source, capsys, "apply", path)
            assert (applied["state"], (await connect.read_state(source.name)).state) == (state, state.upper())
            assert (source.read_slot() is None) is (verb == "create-connector")
            assert (await told(source, capsys, "plan", path, "--detailed-exitcode"))[0]["steps"] == []
        again = source.folder / "again.toml"
        assert await source.run("adopt", source.name, "--output", again) == 0
        assert read_connector(again).state == "stopped"
        await several(source, capsys, connect, path)


async def several(source, capsys, connect, path):
    """A pattern means all that match, one after the other; what fails for one is told beside the others."""
    other = f"{source.kafka.topic_prefix}.operations-b"
    config = build_config(replace(read_connector(path), name="operations-b"), source.kafka)
    await connect.create(other, config, stopped=True)
    try:
        await await_standing(connect, other, "STOPPED", time.monotonic() + 60)
        paused = await told(source, capsys, "pause", "oper*", "operations")
        assert paused == [{"connector": name, "state": "PAUSED"} for name in (source.name, other)]
        stopped = await told(source, capsys, "stop", "nobody", "operations-?", code=3)
        assert [each.get("error", each.get("state")) for each in stopped] == ["PreconditionFailed", "STOPPED"]
        assert (await connect.read_state(source.name)).state == "PAUSED"
        assert await source.run("resume", "x-*", "operations") == 3
        assert "no connector matches 'x-*'" in capsys.readouterr().err
        assert (await connect.read_state(source.name)).state == "PAUSED"
        assert await source.run("stop", "*", "--file", path) == 2
        assert (await told(source, capsys, "resume", "operations"))[0]["proved"] is True
        health = await told(source, capsys, "status", "operations", "operations-*", code=3)
        assert [(each["connector"], each["healthy"]) for each in health] == [(source.name, True), (other, False)]
    finally:
        await connect.delete(other)
