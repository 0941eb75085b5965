"""`eventstore import`: record a file of events by COPY."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from eventstore.cli.program import add_app, add_command, import_apps, open_store
from eventstore.console import Output
from eventstore.lines import read_lines


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(
        commands, "import", "Record the events of a JSON Lines file by COPY; run it again after a crash.", import_file
    )
    parser.add_argument(
        "file", metavar="FILE", help='lines like {"stream": …, "type": …, "data": {…}}, optionally id, occurred_at, metadata'
    )
    add_app(parser)


async def import_file(arguments: argparse.Namespace, output: Output) -> int:
    """Import a file of JSON lines."""
    import_apps(arguments.app)
    async with open_store() as store:
        done = await store.import_events(read_lines(Path(arguments.file), checked=bool(arguments.app)))
    output.result(
        {"recorded": done.recorded, "known": done.known}, f"recorded {done.recorded} events, {done.known} known already"
    )
    return 0
