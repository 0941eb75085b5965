"""`cdc pause | resume | stop | restart | teardown`: each returns when its effect is seen."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from cdc.cli.fleet import Outcome, add_names, choose_names, take_each
from cdc.cli.program import add_command, add_target, add_timeout, find_deadline, find_reporter, find_target, read_declared
from cdc.connect.client import ConnectClient
from cdc.proof import Report
from cdc.steer import Target, pause_connector, restart_connector, resume_connector, stop_connector, teardown_connector
from eventstore.console import Output
from eventstore.settings import KafkaSettings

Steering = Callable[[ConnectClient, Target, float, Report], Awaitable[Outcome]]


def declare(commands: Any) -> None:
    """Add the commands."""
    for name, text, steering in _STEERING:
        parser = add_command(commands, name, text, partial(_steer, steering))
        add_names(parser)
        add_timeout(parser, 60.0)
    text = "stop, delete offsets, connector, slot and publication; topics stay"
    parser = add_command(commands, "teardown", text, _teardown)
    add_target(parser)
    add_timeout(parser, 60.0)


async def _steer(steering: Steering, arguments: argparse.Namespace, output: Output) -> int:
    """Steer every connector that is named, each with the whole `--timeout`."""
    declared = read_declared(arguments)
    async with ConnectClient() as connect:
        chosen = await choose_names(connect, KafkaSettings(), arguments)
        names = [declared.name] if declared else chosen or [""]

        async def act(name: str) -> Outcome:
            target = await find_target(connect, name, declared)
            return await steering(connect, target, find_deadline(arguments), find_reporter(output))

        return await take_each(names, act, output)


async def _pause(connect: ConnectClient, target: Target, deadline: float, _: Report) -> Outcome:
    await pause_connector(connect, target, deadline)
    return Outcome({"connector": target.name, "state": "PAUSED"}, f"{target.name} paused; PostgreSQL keeps WAL for it")


async def _stop(connect: ConnectClient, target: Target, deadline: float, _: Report) -> Outcome:
    await stop_connector(connect, target, deadline)
    text = f"{target.name} stopped, its slot released; PostgreSQL keeps WAL for it until `cdc resume` or `cdc teardown`"
    return Outcome({"connector": target.name, "state": "STOPPED"}, text)


async def _resume(connect: ConnectClient, target: Target, deadline: float, report: Report) -> Outcome:
    await resume_connector(connect, target, deadline, report)
    return _tell_going(target)


async def _restart(connect: ConnectClient, target: Target, deadline: float, report: Report) -> Outcome:
    await restart_connector(connect, target, deadline, report)
    return _tell_going(target)


def _tell_going(target: Target) -> Outcome:
    return Outcome({"connector": target.name, "state": "RUNNING", "proved": True}, f"{target.name} captures")


async def _teardown(arguments: argparse.Namespace, output: Output) -> int:
    async with ConnectClient() as connect:
        target = await find_target(connect, arguments.name, read_declared(arguments))
        gone = await teardown_connector(connect, target, find_deadline(arguments), find_reporter(output))
    removed = ", ".join(what for what, was in gone.items() if was) or "nothing, it was gone already"
    output.result({"connector": target.name, "removed": gone}, f"{target.name}: removed {removed}; its topics stay")
    return 0


_STEERING = (
    ("pause", "stop reading for a while; the slot keeps what changes meanwhile", _pause),
    ("resume", "go on after a pause or stop, and prove it", _resume),
    ("stop", "end all tasks and release the slot, as offsets can be changed only then", _stop),
    ("restart", "restart connector and tasks, and prove that it captures", _restart),
)
