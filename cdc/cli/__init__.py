"""The program `cdc`: a module per command, each of which parses, calls and prints, nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from cdc.cli import adopt, apply, doctor, export, offsets, plan, route, signal, snapshot, status, steer, stencil, translate
from eventstore.console import make_parser, run

_DESCRIPTION = """Capture other people's tables with Debezium.

Connect is found at REFOLD_CONNECT_URL, topics are named under REFOLD_KAFKA_TOPIC_PREFIX. Exit codes: 0 done or healthy,
1 the connector failed, 2 usage, 3 a check failed or a connector is not healthy, 4 timeout, 5 held elsewhere, 6 unreachable,
7 changes are pending (only by `cdc plan --detailed-exitcode`)."""
_ABOVE = ("replay.captured", "replay.stopwatch")
"""Modules of higher layers that add commands; found by name, because nothing below may know them."""
_COMMANDS = (plan, apply, status, steer, offsets, signal, snapshot, adopt, export, route, doctor, stencil, translate)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = make_parser("cdc", _DESCRIPTION)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for each in _COMMANDS:
        each.declare(commands)
    for name in _ABOVE:
        importlib.import_module(name).declare(commands)
    return run(parser, argv)
