"""`cdc types`: row classes of the captured tables, and whether those in the repository still fit."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from cdc.cli.program import add_command
from cdc.connect.declaration import read_connector
from cdc.database import open_database
from cdc.stencil import compare_rows, read_rows
from eventstore.console import Output
from eventstore.errors import UsageError, VerificationFailed


def declare(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "types", "write row classes of the captured tables, for type checkers and drift", _write)
    parser.add_argument("source", type=Path, metavar="FILE", help="the connector's TOML file")
    parser.add_argument("--out", type=Path, metavar="MODULE", help="the Python file to write; without it the text is printed")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 3 and a diff when MODULE is not as the tables are"
    )


async def _write(arguments: argparse.Namespace, output: Output) -> int:
    connector, path = read_connector(arguments.source), arguments.out
    if arguments.check and path is None:
        raise UsageError("--check compares a file with the tables: name it with --out")
    async with open_database(connector.find_dsn()) as database:
        wanted = await read_rows(database, connector)
    if path is None:
        sys.stdout.write(wanted)
        return 0
    written = await asyncio.to_thread(_read, path)
    found = compare_rows(written, wanted, path.name)
    if arguments.check and found:
        output.result({"file": str(path), "same": False, "diff": found}, found.rstrip("\n"))
        output.progress(f"{path} is not as the tables are: run `cdc types {arguments.source} --out {path}`")
        return VerificationFailed.exit_code
    if found:
        await asyncio.to_thread(path.write_text, wanted, "utf-8")
    output.result({"file": str(path), "same": not found}, f"{path}: {'written' if found else 'as the tables are'}")
    return 0


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
