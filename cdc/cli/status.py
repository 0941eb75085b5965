"""`cdc status`: whether connectors capture."""

from __future__ import annotations

import argparse
from typing import Any

from cdc.cli.fleet import Outcome, add_names, choose_names, take_each
from cdc.cli.program import add_command, add_rows, add_timeout, read_declared, read_rows
from cdc.connect.client import ConnectClient
from cdc.status import list_names, read_health
from eventstore.console import Output
from eventstore.errors import PreconditionFailed
from eventstore.settings import KafkaSettings


def declare(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "status", "tell whether connectors capture, with proof", _status)
    add_names(parser, "without any and without --file, all under our topic prefix")
    add_timeout(parser, 15.0)
    add_rows(parser)


async def _status(arguments: argparse.Namespace, output: Output) -> int:
    kafka, declared = KafkaSettings(), read_declared(arguments)
    written = await read_rows(arguments, declared=declared is not None)
    async with ConnectClient() as connect:
        chosen = await choose_names(connect, kafka, arguments)
        names = [declared.name] if declared else chosen or await list_names(connect, kafka)

        async def tell(name: str) -> Outcome:
            health = await read_health(connect, name, kafka, declared=declared, timeout_s=arguments.timeout, written=written)
            return Outcome(health.facts(), str(health), 0 if health.healthy else PreconditionFailed.exit_code)

        return await take_each(names, tell, output, f"no connector under the topic prefix {kafka.topic_prefix}")
