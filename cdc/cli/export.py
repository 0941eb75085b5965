"""`cdc export`: a connector for other tools."""

from __future__ import annotations

import argparse
from typing import Any

from cdc.cli.program import add_command, add_target, read_declared
from cdc.connect.client import ConnectClient
from cdc.connect.config import build_config, find_names
from cdc.export import FORMS, hide_secrets
from cdc.steer import find_running
from eventstore.console import Output
from eventstore.errors import PreconditionFailed, UsageError
from eventstore.settings import KafkaSettings


def declare(commands: Any) -> None:
    """Add the command."""
    text = "write a connector as Connect's JSON, as a KafkaConnector of Strimzi, or for Terraform; TOML is what adopt writes"
    parser = add_command(commands, "export", text, _export)
    parser.add_argument("--format", choices=sorted(FORMS), default="json", help="json (default), strimzi or terraform")
    add_target(parser)


async def _export(arguments: argparse.Namespace, output: Output) -> int:
    name, config = await _find(arguments)
    shown = hide_secrets(name, {option: value for option, value in config.items() if option != "name"})
    text = FORMS[arguments.format](name, shown)
    output.result({"connector": name, "format": arguments.format, "config": shown, "text": text}, text)
    return 0


async def _find(arguments: argparse.Namespace) -> tuple[str, dict[str, str]]:
    kafka, declared = KafkaSettings(), read_declared(arguments)
    if declared is not None:
        return find_names(declared, kafka).connector, build_config(declared, kafka)
    if not arguments.name:
        raise UsageError("name the connector, or give its file with --file")
    async with ConnectClient() as connect:
        name, config = await find_running(connect, arguments.name, kafka)
    if config is None:
        raise PreconditionFailed(f"Kafka Connect knows no connector {name}: see `cdc status` for the names")
    return name, config
