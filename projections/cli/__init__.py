"""`projections run | list | status | plan | parked | effects`: keep read models current, and see how they are."""

from __future__ import annotations

from collections.abc import Sequence

from eventstore.console import make_parser, run
from projections.cli import effects, feed, look, parked, status
from projections.cli.program import describe_generation, opened_engine, require_app, table

__all__ = ["describe_generation", "main", "opened_engine", "require_app", "table"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the console program `projections`."""
    parser = make_parser("projections", __doc__ or "")
    commands = parser.add_subparsers(metavar="COMMAND")
    for declare in (feed.declare, look.declare, status.declare, parked.declare, effects.declare):
        declare(commands)
    return run(parser, argv)
