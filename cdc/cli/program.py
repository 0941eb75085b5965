"""What the commands share: a parser each, the connector that was meant, progress."""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cdc.connect.client import ConnectClient
from cdc.connect.config import Names, find_names, read_names
from cdc.connect.declaration import Connector, read_connector
from cdc.database import SourceDatabase, open_database
from cdc.drift import Written
from cdc.proof import Report
from cdc.steer import Target, aim, find_running
from eventstore.console import Command, Output, add_json
from eventstore.errors import PreconditionFailed, UsageError
from eventstore.settings import KafkaSettings

PENDING = 7


def add_command(commands: Any, name: str, text: str, command: Command) -> argparse.ArgumentParser:
    """Add the command *name* with `--json`; *command* runs it and gives the exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    add_json(parser)
    return parser


def add_timeout(parser: argparse.ArgumentParser, seconds: float) -> None:
    """Add `--timeout`."""
    parser.add_argument("--timeout", type=float, default=seconds, metavar="S", help=f"seconds to wait, default {seconds:g}")


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the declarations that a command takes."""
    parser.add_argument("sources", nargs="+", metavar="FILE", help="TOML file, directory of them, or module:attribute")


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the ways to name one connector."""
    parser.add_argument("name", nargs="?", help="declared name (or --file)")
    add_file(parser)


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add `--file`."""
    parser.add_argument("--file", type=Path, help="the connector's TOML file: its name, and the way into its database")


def read_declared(arguments: argparse.Namespace) -> Connector | None:
    """Give the connector of `--file`, if it was given."""
    return read_connector(arguments.file) if arguments.file else None


def add_rows(parser: argparse.ArgumentParser) -> None:
    """Add `--rows`."""
    text = "the row classes that `cdc types` wrote for FILE: tells when the tables have drifted away from them"
    parser.add_argument("--rows", type=Path, metavar="MODULE", help=text)


async def read_rows(arguments: argparse.Namespace, *, declared: bool) -> Written | None:
    """Give the row classes of `--rows`, if it was given. Raises UsageError without the declaration whose tables they are of."""
    if arguments.rows is None:
        return None
    if not declared:
        raise UsageError(f"--rows {arguments.rows} is compared with the tables of a declaration: give it with --file")
    return await Written.read(arguments.rows)


async def find_target(connect: ConnectClient, name: str | None, declared: Connector | None) -> Target:
    """Settle which connector is meant. Raises UsageError when neither a name nor a file was given."""
    kafka = KafkaSettings()
    if declared is not None:
        return aim(declared.name, kafka, None, declared)
    if not name:
        raise UsageError("name the connector, or give its file with --file")
    full, config = await find_running(connect, name, kafka)
    return aim(full, kafka, config, None)


@asynccontextmanager
async def open_running(
    arguments: argparse.Namespace,
) -> AsyncGenerator[tuple[ConnectClient, SourceDatabase, dict[str, str], Names]]:
    """Open what is needed to talk to a connector that exists: Connect, its database, its configuration, its names."""
    kafka, declared = KafkaSettings(), read_declared(arguments)
    if declared is None and not arguments.name:
        raise UsageError("name the connector, or give its file with --file")
    async with ConnectClient() as connect:
        full = find_names(declared, kafka).connector if declared else arguments.name
        full, config = await find_running(connect, full, kafka)
        if config is None:
            raise PreconditionFailed(
                f"Kafka Connect knows no connector {full}: run `cdc apply`, or see `cdc status` for the names"
            )
        target = aim(full, kafka, config, declared)
        async with open_database(target.dsn or "") as database:
            yield connect, database, config, read_names(full, config)


def find_deadline(arguments: argparse.Namespace) -> float:
    """Give the moment (by `time.monotonic`) at which `--timeout` ends."""
    return time.monotonic() + arguments.timeout


def find_reporter(output: Output) -> Report:
    """Give the way to tell progress."""
    return output.progress
