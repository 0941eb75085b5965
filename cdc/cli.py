"""The program `cdc`: apply a declared connector, see whether it captures, steer it, remove it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cdc.apply import apply_connector
from cdc.connect.client import ConnectClient
from cdc.connect.config import connector_name
from cdc.connect.declaration import Connector, read_connector
from cdc.proof import Report
from cdc.status import list_names, read_health
from cdc.steer import Target, aim, pause_connector, restart_connector, resume_connector, teardown_connector
from eventstore.console import Output, add_json, make_parser, run
from eventstore.errors import PreconditionFailed, UsageError
from eventstore.settings import KafkaSettings

Steering = Callable[[ConnectClient, Target, float, Report], Awaitable[None]]
_DESCRIPTION = """Capture other people's tables with Debezium.

Connect is found at REFOLD_CONNECT_URL, topics are named under REFOLD_KAFKA_TOPIC_PREFIX. Exit codes: 0 done or healthy,
1 the connector failed, 2 usage, 3 a check failed or a connector is not healthy, 4 timeout, 5 held elsewhere, 6 unreachable."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = make_parser("cdc", _DESCRIPTION)
    commands = parser.add_subparsers(title="commands", metavar="command")
    apply = commands.add_parser("apply", help="make a declared connector exist and prove that it captures; repeatable")
    apply.add_argument("file", type=Path, help="TOML file with [connector]")
    apply.set_defaults(command=_apply)
    _add_shared(apply, 120.0)
    status = commands.add_parser("status", help="tell whether connectors capture, with proof")
    status.add_argument("name", nargs="?", help="declared name; without it, all under our topic prefix")
    status.set_defaults(command=_status)
    for name, text, function in _STEERING:
        steering = commands.add_parser(name, help=text)
        steering.add_argument("name", nargs="?", help="declared name (or --file)")
        steering.set_defaults(command=function)
        _add_shared(steering, 60.0)
        _add_file(steering)
    _add_shared(status, 15.0)
    _add_file(status)
    return run(parser, argv)


def _add_shared(parser: argparse.ArgumentParser, timeout_s: float) -> None:
    parser.add_argument("--timeout", type=float, default=timeout_s, metavar="S", help=f"seconds to wait, default {timeout_s:g}")
    add_json(parser)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", type=Path, help="the connector's TOML file: its name, and the way into its database")


async def _apply(arguments: argparse.Namespace, output: Output) -> int:
    connector = read_connector(arguments.file)
    applied = await apply_connector(connector, timeout_s=arguments.timeout, report=_reporter(output))
    text = f"{applied.connector}: publication {applied.publication}, connector {applied.config}, captures ({applied.seconds:g} s)"
    output.result(applied.facts(), text)
    return 0


async def _status(arguments: argparse.Namespace, output: Output) -> int:
    kafka = KafkaSettings()
    declared = read_connector(arguments.file) if arguments.file else None
    async with ConnectClient() as connect:
        names = [declared.name] if declared else [arguments.name] if arguments.name else await list_names(connect, kafka)
        read = [await read_health(connect, name, kafka, declared=declared, timeout_s=arguments.timeout) for name in names]
    text = "\n".join(map(str, read)) or f"no connector under the topic prefix {kafka.topic_prefix}"
    output.result([health.facts() for health in read], text)
    return 0 if all(health.healthy for health in read) else PreconditionFailed.exit_code


async def _pause(arguments: argparse.Namespace, output: Output) -> int:
    async with ConnectClient() as connect:
        target = Target(connector_name(_name(arguments), KafkaSettings()), "", None)
        await pause_connector(connect, target, time.monotonic() + arguments.timeout)
    output.result({"connector": target.name, "state": "PAUSED"}, f"{target.name} paused; PostgreSQL keeps WAL for it")
    return 0


async def _resume(arguments: argparse.Namespace, output: Output) -> int:
    return await _set_going(resume_connector, arguments, output)


async def _restart(arguments: argparse.Namespace, output: Output) -> int:
    return await _set_going(restart_connector, arguments, output)


async def _set_going(steer: Steering, arguments: argparse.Namespace, output: Output) -> int:
    async with ConnectClient() as connect:
        target = await _aim(connect, arguments)
        await steer(connect, target, time.monotonic() + arguments.timeout, _reporter(output))
    output.result({"connector": target.name, "state": "RUNNING", "proved": True}, f"{target.name} captures")
    return 0


async def _teardown(arguments: argparse.Namespace, output: Output) -> int:
    async with ConnectClient() as connect:
        target = await _aim(connect, arguments)
        gone = await teardown_connector(connect, target, time.monotonic() + arguments.timeout, _reporter(output))
    removed = ", ".join(what for what, was in gone.items() if was) or "nothing, it was gone already"
    output.result({"connector": target.name, "removed": gone}, f"{target.name}: removed {removed}; its topics stay")
    return 0


_STEERING = (
    ("pause", "stop reading for a while; the slot keeps what changes meanwhile", _pause),
    ("resume", "go on after a pause or stop, and prove it", _resume),
    ("restart", "restart connector and tasks, and prove that it captures", _restart),
    ("teardown", "stop, delete offsets, connector, slot and publication; topics stay", _teardown),
)


def _name(arguments: argparse.Namespace) -> str:
    if arguments.name:
        return arguments.name
    if arguments.file:
        return read_connector(arguments.file).name
    raise UsageError("name the connector, or give its file with --file")


async def _aim(connect: ConnectClient, arguments: argparse.Namespace) -> Target:
    kafka, name = KafkaSettings(), _name(arguments)
    declared: Connector | None = read_connector(arguments.file) if arguments.file else None
    config = await connect.read_config(connector_name(name, kafka)) if declared is None else None
    return aim(name, kafka, config, declared)


def _reporter(output: Output) -> Report:
    return output.progress
