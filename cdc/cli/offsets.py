"""`cdc offsets`: show where a connector stands, or move it, after a rehearsal."""

from __future__ import annotations

import argparse
from typing import Any

from cdc.cli.program import add_command, add_file, open_running
from cdc.connect.client import ConnectClient
from cdc.connect.config import Names
from cdc.database import SourceDatabase
from cdc.offsets import Window, find_window, read_position, require_stopped, set_offset, weigh_move, write_position
from eventstore.console import Output
from eventstore.errors import PreconditionFailed, UsageError


def declare(commands: Any) -> None:
    """Add the command."""
    text = "show where a connector stands; set or reset that while it is stopped, only rehearsed unless --yes is given"
    parser = add_command(commands, "offsets", text, _offsets)
    parser.add_argument("verb", choices=("show", "set", "reset"), help="what to do")
    parser.add_argument("name", nargs="?", help="declared name (or --file)")
    parser.add_argument("--lsn", metavar="POSITION", help="set: the position to go on from, such as 16/B374D848")
    parser.add_argument("--yes", action="store_true", help="do it; without, it is said what would be done")
    add_file(parser)


async def _offsets(arguments: argparse.Namespace, output: Output) -> int:
    position = _read_lsn(arguments)
    async with open_running(arguments) as (connect, database, _, names):
        if arguments.verb != "show":  # first, for where a connector stands is settled only once it has stopped
            require_stopped(await connect.read_state(names.connector), names.connector)
        offsets = await connect.read_offsets(names.connector)
        window = find_window(offsets, names, await database.read_slot(names.slot))
        if arguments.verb == "show":
            shown = "\n".join(f"  {name}: {value or 'none'}" for name, value in window.facts().items())
            output.result({"connector": names.connector, "offsets": offsets, **window.facts()}, f"{names.connector}\n{shown}")
            return 0
        told = _weigh(window, position)
        if arguments.yes:
            await _move(connect, database, names, position)
    done = "done" if arguments.yes else "nothing was changed; --yes does it"
    output.result({"connector": names.connector, "done": arguments.yes, "effect": told}, f"{names.connector}: {told} ({done})")
    return 0


def _read_lsn(arguments: argparse.Namespace) -> int | None:
    if (arguments.verb == "set") != bool(arguments.lsn):
        raise UsageError("`cdc offsets set` takes --lsn, and nothing else does")
    return read_position(arguments.lsn) if arguments.lsn else None


def _weigh(window: Window, position: int | None) -> str:
    if position is None:
        was = "nowhere" if window.stands is None else write_position(window.stands)
        return (
            f"the position {was} is forgotten, and the next start takes a snapshot as snapshot.mode says: every row comes again"
        )
    return weigh_move(window, position)


async def _move(connect: ConnectClient, database: SourceDatabase, names: Names, position: int | None) -> None:
    if position is not None:
        await set_offset(connect, names, position)
        return
    if not await connect.delete_offsets(names.connector):
        raise PreconditionFailed(f"Connect did not take the offsets of {names.connector} away: is it stopped?")
    await database.drop_slot(names.slot)  # a slot without offsets would repeat old changes after the snapshot
