"""`eventstore migrate`: bring the schema up, or print the SQL that would."""

from __future__ import annotations

import argparse
from typing import Any

from eventstore.cli.program import add_command
from eventstore.console import Output


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(commands, "migrate", "Bring the database schema up to this release.", migrate)
    parser.add_argument("--sql", action="store_true", help="print the SQL instead of running it")


async def migrate(arguments: argparse.Namespace, output: Output) -> int:
    """Migrate, or print the SQL."""
    from eventstore.postgres import migrate as migration
    from eventstore.postgres.engine import open_engine

    if arguments.sql:
        script = migration.script()
        output.result({"sql": script}, script)
        return 0
    engine = open_engine(application="eventstore migrate")
    try:
        before, now = await migration.migrate(engine)
    finally:
        await engine.dispose()
    text = f"schema revision {now}" + (" already" if before == now else f", was {before or 'none'}")
    output.result({"before": before, "revision": now}, text)
    return 0
