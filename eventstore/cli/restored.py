"""`eventstore restored`: let a store that came in a dump go on in order on its new server."""

from __future__ import annotations

import argparse
from typing import Any

from eventstore.cli.program import add_command
from eventstore.console import Output


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    add_command(commands, "restored", "Let a store that was restored from a dump go on in order on its new server.", restored)


async def restored(arguments: argparse.Namespace, output: Output) -> int:
    """Choose the shift of this server's transaction ids, or say that there is nothing to do."""
    from eventstore.postgres.engine import open_engine
    from eventstore.postgres.era import settle

    del arguments
    engine = open_engine(application="eventstore restored")
    try:
        done = await settle(engine)
    finally:
        await engine.dispose()
    text = (
        f"settled: this server's transactions count on from the restored events (shift {done.shift})"
        if done.changed
        else f"nothing to do: the store is settled on this server (shift {done.shift})"
    )
    output.result({"changed": done.changed, "shift": done.shift}, text)
    return 0
