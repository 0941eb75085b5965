"""`eventstore follow`: print events as they are recorded."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

from eventstore.cli.program import add_app, add_command, import_apps, open_store, parse_position, show_facts, show_line
from eventstore.console import Output
from eventstore.envelope import Envelope
from eventstore.stream import START, Position

if TYPE_CHECKING:
    from eventstore.postgres.store import PostgresEventStore


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(
        commands, "follow", "Print events as they are recorded, until stopped; --json: a document a line.", follow
    )
    parser.add_argument("stream", metavar="STREAM", nargs="*", help="only these streams (all)")
    parser.add_argument("--type", metavar="TYPE", action="append", default=[], help="only events of this type; may be repeated")
    parser.add_argument("--after", metavar="POSITION", default="now", help="begin after this position, or start, or now (now)")
    parser.add_argument("--limit", metavar="N", type=int, help="end after N events")
    add_app(parser)


async def follow(arguments: argparse.Namespace, output: Output) -> int:
    """Print events until a signal comes or the limit is reached."""
    from eventstore.follow import follow as follow_events

    import_apps(arguments.app)
    async with open_store(application="eventstore follow") as store:
        after = await _begin(store, arguments.after)
        events = follow_events(_Reading(store, decoded=bool(arguments.app)), after)
        output.progress("following", after=str(after))
        printing = asyncio.ensure_future(_print(events, arguments, output))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, printing.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await printing
    return 0


class _Reading:
    """The store, read with or without decoding."""

    def __init__(self, store: PostgresEventStore, *, decoded: bool) -> None:
        self.read_all = partial(store.read_all, decoded=decoded)


async def _begin(store: PostgresEventStore, text: str) -> Position:
    if text == "now":
        return await store.head()
    return START if text == "start" else parse_position(text, "--after")


async def _print(events: AsyncIterator[Envelope[Any]], arguments: argparse.Namespace, output: Output) -> None:
    streams, types, left = set(arguments.stream), set(arguments.type), arguments.limit
    async for each in events:
        if (streams and each.stream not in streams) or (types and each.type not in types):
            continue
        output.result(show_facts(each), show_line(each))
        if left is not None and (left := left - 1) <= 0:
            return
