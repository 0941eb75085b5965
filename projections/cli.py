"""`projections run | list | plan | parked`: keep read models current, and see how they are."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.console import Output, add_json, make_parser, run, tune_collector
from eventstore.errors import UsageError
from eventstore.log.bounds import find_bounds
from eventstore.postgres.engine import checkout, open_engine
from eventstore.postgres.migrate import require_current
from eventstore.settings import KafkaSettings, PostgresSettings
from projections.catalogue import list_generations
from projections.checkpoint import read_seen
from projections.fingerprint import fingerprint
from projections.generation import FED, Generation, State
from projections.parking import count_parked, list_parked
from projections.registry import Projections, load_app
from projections.settings import ProjectionSettings
from projections.supervisor import Supervisor

IDLE_S = 10.0
"""Seconds that a worker's transaction may do nothing; its longest pause is the fold of one fetch."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the console program `projections`."""
    parser = make_parser("projections", __doc__ or "")
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, command, text in (
        ("run", _run, "feed the live generations of --app until stopped"),
        ("list", _list, "show every generation: state, lag, parked records"),
        ("plan", _plan, "compare the code of --app with what is live: unchanged, new, or needs a rebuild"),
        ("parked", _parked, "show the records that were set aside, and why"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        add_json(sub)
        sub.set_defaults(command=command)
        if name in {"run", "plan"}:
            sub.add_argument("--app", help="module:name of the Projections (env: REFOLD_PROJECTIONS_APP)")
        else:
            sub.add_argument("--projection", help="only this one")
    return run(parser, argv)


def require_app(given: str | None, settings: ProjectionSettings) -> Projections:
    """Load the app that the flag or the environment names. Raises UsageError when neither does."""
    reference = given or settings.app
    if not reference:
        raise UsageError("which app? Give --app module:name or set REFOLD_PROJECTIONS_APP")
    return load_app(reference)


@asynccontextmanager
async def opened_engine(application: str, connections: int = 5, *, idle_s: float | None = None) -> AsyncGenerator[AsyncEngine]:
    """Open the engine that a console program uses, and close it. Raises MigrationMissing for an older database.

    *idle_s* lowers the time after which a transaction that does nothing is ended: a worker that was stopped inside of one keeps
    others from its partitions for as long.
    """
    settings = PostgresSettings()
    changes: dict[str, float] = {"pool_size": max(settings.pool_size, connections)}
    if idle_s is not None:
        changes["idle_in_transaction_s"] = min(settings.idle_in_transaction_s, idle_s)
    engine = open_engine(settings.model_copy(update=changes), application=application)
    try:
        async with checkout(engine) as connection:
            await require_current(connection)
        yield engine
    finally:
        await engine.dispose()


async def _run(arguments: argparse.Namespace, output: Output) -> int:
    settings, kafka = ProjectionSettings(), KafkaSettings()
    app = require_app(arguments.app, settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    tune_collector()
    async with opened_engine("refold projections", 4 * len(app) + 4, idle_s=IDLE_S) as engine:
        supervisor = Supervisor(app, engine, kafka=kafka, settings=settings, say=output.progress)
        output.progress(
            f"feeding {', '.join(each.name for each in app)}; stop with Ctrl-C", projections=list(supervisor.fingerprints)
        )
        await supervisor.run(stopping)
    return 0


async def _list(arguments: argparse.Namespace, output: Output) -> int:
    async with opened_engine("refold projections list") as engine, checkout(engine) as connection:
        known = [each for each in await list_generations(connection, arguments.projection) if each.state is not State.DROPPED]
        facts = [await describe_generation(connection, each) for each in known]
    output.result(facts, table(facts))
    return 0


async def describe_generation(connection: Any, generation: Generation) -> dict[str, Any]:
    """Give what a person wants to know of *generation*: state, lag in records, parked records."""
    seen = await read_seen(connection, generation.id)
    wanted = [(topic, number) for topic, count in generation.topics.items() for number in range(count)]
    lag: int | None = None
    if generation.state in FED or generation.state is State.BUILDING:
        _, ends = await find_bounds(KafkaSettings(), wanted)
        lag = sum(max(0, ends[each] - seen.get(each, 0)) for each in wanted)
    return {
        "projection": generation.projection,
        "generation": generation.number,
        "version": generation.version,
        "state": str(generation.state),
        "lag": lag,
        "parked": await count_parked(connection, generation.id),
        "fingerprint": generation.fingerprint,
        "since": generation.changed_at,
        "fed_until": generation.retire_at,
    }


async def _plan(arguments: argparse.Namespace, output: Output) -> int:
    app = require_app(arguments.app, ProjectionSettings())
    facts: list[dict[str, Any]] = []
    async with opened_engine("refold projections plan") as engine, checkout(engine) as connection:
        for projection in app:
            mine = fingerprint(projection)
            live = next((g for g in await list_generations(connection, projection.name) if g.state is State.LIVE), None)
            verdict = "new" if live is None else "unchanged" if live.fingerprint == mine else "needs rebuild"
            facts.append({"projection": projection.name, "version": projection.version, "fingerprint": mine, "verdict": verdict})
    output.result(facts, table(facts))
    return 0


async def _parked(arguments: argparse.Namespace, output: Output) -> int:
    async with opened_engine("refold projections parked") as engine, checkout(engine) as connection:
        facts = await list_parked(connection, arguments.projection)
    output.result(facts, table(facts) if facts else "nothing is parked")
    return 0


def table(facts: Sequence[dict[str, Any]]) -> str:
    """Lay *facts* out in columns."""
    if not facts:
        return "nothing yet"
    lines = [list(facts[0]), *([_cell(value) for value in each.values()] for each in facts)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)
