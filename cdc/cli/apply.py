"""`cdc apply`: make what is declared so."""

from __future__ import annotations

import argparse
from typing import Any

from cdc.apply import Applied, apply_connector, read_plan, refuse_plan
from cdc.cli.program import add_command, add_sources, add_timeout, find_reporter
from cdc.connect.declaration import Connector
from cdc.connect.source import read_sources
from eventstore.console import Output
from eventstore.settings import KafkaSettings


def declare(commands: Any) -> None:
    """Add the command."""
    text = "make declared connectors exist and prove that they capture, or stand where declared so; repeatable"
    parser = add_command(commands, "apply", text, _apply)
    add_sources(parser)
    parser.add_argument("--allow-breaking", action="store_true", help="allow changes that alter the form of the records")
    add_timeout(parser, 120.0)


async def _apply(arguments: argparse.Namespace, output: Output) -> int:
    connectors = read_sources(arguments.sources, KafkaSettings())
    if len(connectors) > 1:  # nothing is changed when any of them can't be applied
        for each in connectors:
            refuse_plan(await read_plan(each), each.name, allow_breaking=arguments.allow_breaking)
    done = [await _apply_one(each, arguments, output) for each in connectors]
    facts = [each.facts() for each in done]
    output.result(facts[0] if len(facts) == 1 else facts, "\n".join(map(_sum_up, done)))
    return 0


async def _apply_one(connector: Connector, arguments: argparse.Namespace, output: Output) -> Applied:
    allowed, report = arguments.allow_breaking, find_reporter(output)
    return await apply_connector(connector, timeout_s=arguments.timeout, allow_breaking=allowed, report=report)


def _sum_up(applied: Applied) -> str:
    outcome = "captures" if applied.state == "running" else f"{applied.state} as declared"
    return (
        f"{applied.connector}: publication {applied.publication}, connector {applied.config}, {len(applied.steps)} steps, "
        f"{outcome} ({applied.seconds:g} s)"
    )
