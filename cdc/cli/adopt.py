"""`cdc adopt`: a declaration for a connector that was made elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cdc.adopt import Found, write_declaration
from cdc.cli.program import add_command, open_running
from cdc.connect.config import name_topic
from cdc.survey import read_topics
from eventstore.console import Output
from eventstore.errors import UsageError
from eventstore.settings import KafkaSettings


def declare(commands: Any) -> None:
    """Add the command."""
    text = "write the declaration of a connector that was made elsewhere; neither it nor its data is touched"
    parser = add_command(commands, "adopt", text, _adopt)
    parser.add_argument("name", help="the connector's name in Connect")
    parser.add_argument("--as", dest="declared", metavar="NAME", help="name to declare it by, default: its own")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there, and not over another file; default: print it")
    parser.set_defaults(file=None)


async def _adopt(arguments: argparse.Namespace, output: Output) -> int:
    if arguments.output and arguments.output.exists():
        raise UsageError(f"{arguments.output} exists, and is not overwritten: give --output another name")
    async with open_running(arguments) as (connect, database, config, names):
        state = await connect.read_state(names.connector)
        existing = await database.list_tables()
        found = Found(names.connector, config, existing)
        tables = await database.read_tables(found.captured, config.get("database.user", "postgres"))
        publication = await database.read_publication(names.publication)
    topics = await read_topics(KafkaSettings(), [name_topic(names.prefix, table) for table in found.captured])
    whole = Found(names.connector, config, existing, tables, publication, topics, state.state if state else "RUNNING")
    written = write_declaration(whole, arguments.declared or names.connector)
    for note in written.notes:
        output.progress(f"note: {note}")
    if arguments.output:
        arguments.output.write_text(written.text, encoding="utf-8")
    facts = {"connector": names.connector, "file": arguments.output and str(arguments.output), "toml": written.text}
    said = (
        f"{names.connector}: written to {arguments.output}; `cdc plan {arguments.output}` shows no change"
        if arguments.output
        else written.text
    )
    output.result({**facts, "plain": dict(written.plain), "notes": list(written.notes)}, said)
    return 0
