"""`eventstore show`: print a stream."""

from __future__ import annotations

import argparse
from typing import Any

from eventstore.cli.program import add_app, add_command, import_apps, open_store, show_facts
from eventstore.codec import encode
from eventstore.console import Output


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(commands, "show", "Print a stream, one event a line.", show)
    parser.add_argument("stream", metavar="STREAM")
    parser.add_argument("--from", dest="from_version", metavar="N", type=int, default=1, help="first version (1)")
    parser.add_argument("--to", dest="to_version", metavar="N", type=int, help="last version (the newest)")
    add_app(parser)


async def show(arguments: argparse.Namespace, output: Output) -> int:
    """Print one stream."""
    import_apps(arguments.app)
    async with open_store() as store:
        found = store.read_stream(
            arguments.stream, from_version=arguments.from_version, to_version=arguments.to_version, decoded=bool(arguments.app)
        )
        shown = [show_facts(each) async for each in found]
    if output.json:
        output.result(shown)
    for each in () if output.json else shown:
        print(f"{each['version']:>6}  {each['occurred_at']:%Y-%m-%d %H:%M:%S}  {each['type']}  {encode(each['data']).decode()}")
    if not shown:
        output.progress(f"stream {arguments.stream!r} has no events in this range")
    return 0
