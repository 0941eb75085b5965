"""The program `eventstore`: a module per command, each of which parses and calls, nothing else."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from eventstore.cli import (
    append,
    archive,
    bench,
    bulk,
    chain,
    doctor,
    export,
    follow,
    forget,
    keys,
    migrate,
    processes,
    relay,
    restored,
    roles,
    schemas,
    show,
)
from eventstore.console import make_parser, run

_COMMANDS = (
    migrate,
    relay,
    processes,
    append,
    show,
    follow,
    bulk,
    export,
    archive,
    forget,
    keys,
    doctor,
    chain,
    roles,
    schemas,
    restored,
    bench,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it has to say, our own errors say in one sentence
    parser = make_parser("eventstore", "Record events in PostgreSQL, read them, and relay them to Kafka.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for each in _COMMANDS:
        each.declare(commands)
    return run(parser, argv)
