"""`cdc signal`: tell a running connector something."""

from __future__ import annotations

import argparse
from typing import Any

from cdc.cli.program import add_command, add_file, open_running
from cdc.signal import KINDS, find_channel, send_signal, write_snapshot
from eventstore.codec import decode
from eventstore.console import Output
from eventstore.errors import UndecodableRecord, UsageError
from eventstore.settings import KafkaSettings


def declare(commands: Any) -> None:
    """Add the command."""
    text = "send a signal through the connector's signal table or topic, and say which and why"
    parser = add_command(commands, "signal", text, _signal)
    parser.add_argument("kind", choices=KINDS, help="what to do")
    parser.add_argument("name", nargs="?", help="declared name (or --file)")
    parser.add_argument(
        "--table", action="append", default=[], metavar="TABLE", help="execute-snapshot, stop-snapshot: schema.table"
    )
    parser.add_argument("--message", metavar="TEXT", help="log: what the worker's log is to show")
    parser.add_argument("--data", metavar="JSON", help="the signal's data, instead of what the other options say")
    add_file(parser)


async def _signal(arguments: argparse.Namespace, output: Output) -> int:
    data = _compose(arguments)
    async with open_running(arguments) as (_, database, config, names):
        channel = find_channel(config, names)
        sent = await send_signal(database, KafkaSettings(), names, channel, arguments.kind, data)
    output.result(sent.facts(), f"{sent.kind} {sent.id} sent through {channel.kind} {channel.name}: {channel.reason}")
    return 0


def _compose(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.data:
        try:
            return decode(arguments.data)
        except UndecodableRecord as error:
            raise UsageError(f"--data is not JSON: {error.__cause__}") from error
    if arguments.kind == "log":
        return {"message": arguments.message or "signal at offset {}"}
    if arguments.kind == "execute-snapshot" and not arguments.table:
        raise UsageError("execute-snapshot needs the tables: --table schema.table")
    return write_snapshot(arguments.table) if arguments.table else {"type": "incremental"}
