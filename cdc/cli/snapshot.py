"""`cdc snapshot`: read tables again, and follow that to its end."""

from __future__ import annotations

import argparse
from typing import Any

from cdc.cli.program import add_command, add_file, add_timeout, find_deadline, find_reporter, open_running
from cdc.snapshot import Runner
from eventstore.console import Output
from eventstore.errors import UsageError
from eventstore.settings import KafkaSettings


def declare(commands: Any) -> None:
    """Add the command."""
    text = "have a running connector read tables again, and follow it until every one SUCCEEDED"
    parser = add_command(commands, "snapshot", text, _snapshot)
    parser.add_argument("name", help="declared name; with --file, the first table")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="schema.table")
    parser.add_argument("--where", metavar="SQL", help="only the rows of one table that meet this condition")
    parser.add_argument("--blocking", action="store_true", help="stop streaming meanwhile: needs no primary key, and is quicker")
    add_timeout(parser, 600.0)
    add_file(parser)


async def _snapshot(arguments: argparse.Namespace, output: Output) -> int:
    tables = [arguments.name, *arguments.tables] if arguments.file else arguments.tables
    if not tables:
        raise UsageError("name the tables to read again, as schema.table")
    if arguments.where and len(tables) > 1:
        raise UsageError("--where is for one table at a time")
    async with open_running(arguments) as (connect, database, _, names):
        runner = Runner(connect, database, KafkaSettings(), names, find_reporter(output))
        snapshot = await runner.run(tables, find_deadline(arguments), where=arguments.where, blocking=arguments.blocking)
    rows = ", ".join(f"{table} {snapshot.rows[table]:,} rows" for table in tables)
    output.result(snapshot.facts(), f"{names.connector}: {rows} ({snapshot.seconds:g} s)")
    return 0
