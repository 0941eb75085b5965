"""`cdc plan`: what an apply would do."""

from __future__ import annotations

import argparse
from typing import Any

from cdc.apply import read_plan
from cdc.cli.program import PENDING, add_command, add_sources
from cdc.connect.source import read_sources
from cdc.plan.render import render_plan
from cdc.survey import look_together
from eventstore.console import Output
from eventstore.errors import PreconditionFailed
from eventstore.settings import KafkaSettings


def declare(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "plan", "show what apply would change in PostgreSQL, Kafka and Connect; changes nothing", _plan
    )
    add_sources(parser)
    parser.add_argument("--all", action="store_true", help="show every option of a connector that is to be created")
    parser.add_argument(
        "--detailed-exitcode", action="store_true", help=f"exit with {PENDING} when changes are pending, 0 when there are none"
    )


async def _plan(arguments: argparse.Namespace, output: Output) -> int:
    connectors = read_sources(arguments.sources, KafkaSettings())
    plans = await look_together(*(read_plan(each) for each in connectors))
    text = "\n".join(render_plan(each, whole=arguments.all) for each in plans)
    output.result([each.facts() for each in plans], text)
    if any(each.failures for each in plans):
        return PreconditionFailed.exit_code
    return PENDING if arguments.detailed_exitcode and any(each.pending for each in plans) else 0
