"""`cdc pause | resume | stop | restart | teardown`: each returns when its effect is seen."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any

from cdc.cli.program import add_command, add_target, add_timeout, find_deadline, find_reporter, find_target
from cdc.connect.client import ConnectClient
from cdc.proof import Report
from cdc.steer import Target, pause_connector, restart_connector, resume_connector, stop_connector, teardown_connector
from eventstore.console import Output

Steering = Callable[[ConnectClient, Target, float, Report], Awaitable[None]]


def declare(commands: Any) -> None:
    """Add the commands."""
    for name, text, function in _STEERING:
        parser = add_command(commands, name, text, function)
        add_target(parser)
        add_timeout(parser, 60.0)


async def _pause(arguments: argparse.Namespace, output: Output) -> int:
    async with ConnectClient() as connect:
        target = await find_target(connect, arguments)
        await pause_connector(connect, target, find_deadline(arguments))
    output.result({"connector": target.name, "state": "PAUSED"}, f"{target.name} paused; PostgreSQL keeps WAL for it")
    return 0


async def _stop(arguments: argparse.Namespace, output: Output) -> int:
    async with ConnectClient() as connect:
        target = await find_target(connect, arguments)
        await stop_connector(connect, target, find_deadline(arguments))
    text = f"{target.name} stopped, its slot released; PostgreSQL keeps WAL for it until `cdc resume` or `cdc teardown`"
    output.result({"connector": target.name, "state": "STOPPED"}, text)
    return 0


async def _resume(arguments: argparse.Namespace, output: Output) -> int:
    return await _set_going(resume_connector, arguments, output)


async def _restart(arguments: argparse.Namespace, output: Output) -> int:
    return await _set_going(restart_connector, arguments, output)


async def _set_going(steer: Steering, arguments: argparse.Namespace, output: Output) -> int:
    async with ConnectClient() as connect:
        target = await find_target(connect, arguments)
        await steer(connect, target, find_deadline(arguments), find_reporter(output))
    output.result({"connector": target.name, "state": "RUNNING", "proved": True}, f"{target.name} captures")
    return 0


async def _teardown(arguments: argparse.Namespace, output: Output) -> int:
    async with ConnectClient() as connect:
        target = await find_target(connect, arguments)
        gone = await teardown_connector(connect, target, find_deadline(arguments), find_reporter(output))
    removed = ", ".join(what for what, was in gone.items() if was) or "nothing, it was gone already"
    output.result({"connector": target.name, "removed": gone}, f"{target.name}: removed {removed}; its topics stay")
    return 0


_STEERING = (
    ("pause", "stop reading for a while; the slot keeps what changes meanwhile", _pause),
    ("resume", "go on after a pause or stop, and prove it", _resume),
    ("stop", "end all tasks and release the slot, as offsets can be changed only then", _stop),
    ("restart", "restart connector and tasks, and prove that it captures", _restart),
    ("teardown", "stop, delete offsets, connector, slot and publication; topics stay", _teardown),
)
