"""`projections list` and `projections plan`: what there is, and what a release would do to it."""

from __future__ import annotations

import argparse
from typing import Any

from eventstore.console import Output
from eventstore.errors import PreconditionFailed
from eventstore.postgres.engine import checkout
from projections.cli.program import (
    add_app,
    add_command,
    add_projection,
    describe_generation,
    opened_engine,
    require_app,
    table,
)
from projections.control.catalogue import require_generations
from projections.control.generation import State
from projections.feeding.deriving import find_stale
from projections.release.outlook import explain, foresee
from projections.settings import ProjectionSettings


def declare(commands: Any) -> None:
    """Add the commands to *commands*."""
    add_projection(add_command(commands, "list", "show every generation: state, lag, parked records", _list))
    plan = add_command(commands, "plan", "compare the code of --app with what is live: unchanged, new, or needs a rebuild", _plan)
    add_app(plan)
    plan.add_argument("--strict", action="store_true", help="fail when code is found that may give other rows the next time")


async def _list(arguments: argparse.Namespace, output: Output) -> int:
    async with opened_engine("refold projections list") as engine, checkout(engine) as connection:
        every = await require_generations(connection, arguments.projection)
        known = [each for each in every if each.state is not State.DROPPED]
        facts = [await describe_generation(connection, each) for each in known]
    output.result(facts, table(facts))
    return 0


async def _plan(arguments: argparse.Namespace, output: Output) -> int:
    app = require_app(arguments.app, ProjectionSettings())
    async with opened_engine("refold projections plan") as engine, checkout(engine) as connection:
        facts = [{**await foresee(connection, each), "chain": await find_stale(connection, each)} for each in app]
    short = [{name: each[name] for name in ("projection", "version", "fingerprint", "verdict")} for each in facts]
    warned = [each for found in facts for each in (*explain(found), *found["chain"])]
    output.result(facts, "\n".join([table(short), *warned]))
    if arguments.strict and any(each["warnings"] for each in facts):
        raise PreconditionFailed("--strict, and there is code that may give other rows the next time; see the warnings")
    return 0
