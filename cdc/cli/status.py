"""`cdc status`: whether connectors capture."""

from __future__ import annotations

import argparse
from typing import Any

from cdc.cli.program import add_command, add_file, add_rows, add_timeout, read_declared, read_rows
from cdc.connect.client import ConnectClient
from cdc.status import list_names, read_health
from eventstore.console import Output
from eventstore.errors import PreconditionFailed
from eventstore.settings import KafkaSettings


def declare(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "status", "tell whether connectors capture, with proof", _status)
    parser.add_argument("name", nargs="?", help="declared name; without it, all under our topic prefix")
    add_timeout(parser, 15.0)
    add_file(parser)
    add_rows(parser)


async def _status(arguments: argparse.Namespace, output: Output) -> int:
    kafka, declared = KafkaSettings(), read_declared(arguments)
    written = await read_rows(arguments, declared=declared is not None)
    async with ConnectClient() as connect:
        names = [declared.name] if declared else [arguments.name] if arguments.name else await list_names(connect, kafka)
        read = [
            await read_health(connect, name, kafka, declared=declared, timeout_s=arguments.timeout, written=written)
            for name in names
        ]
    text = "\n".join(map(str, read)) or f"no connector under the topic prefix {kafka.topic_prefix}"
    output.result([health.facts() for health in read], text)
    return 0 if all(health.healthy for health in read) else PreconditionFailed.exit_code
