"""What the commands of `projections` share: the app, the engine, and tables for people."""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.console import Command, add_json
from eventstore.errors import UsageError
from eventstore.log.bounds import find_bounds
from eventstore.postgres.engine import checkout, open_engine
from eventstore.postgres.migrate import require_current
from eventstore.settings import KafkaSettings, PostgresSettings
from projections.control.checkpoint import read_seen
from projections.control.generation import FED, Generation, State
from projections.control.parking import count_parked
from projections.declaration.registry import Projections, load_app
from projections.settings import ProjectionSettings

IDLE_S = 10.0
"""Seconds that a worker's transaction may do nothing; its longest pause is the fold of one fetch."""


def add_command(commands: Any, name: str, text: str, command: Command) -> argparse.ArgumentParser:
    """Add a command with `--json`."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    add_json(parser)
    parser.set_defaults(command=command)
    return parser


def add_app(parser: argparse.ArgumentParser) -> None:
    """Give *parser* `--app`."""
    parser.add_argument("--app", help="module:name of the Projections (env: REFOLD_PROJECTIONS_APP)")


def add_projection(parser: argparse.ArgumentParser) -> None:
    """Give *parser* `--projection`."""
    parser.add_argument("--projection", help="only this one")


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


def list_partitions(generation: Generation) -> list[tuple[str, int]]:
    """Give every partition of the generation's topics."""
    return [(topic, number) for topic, count in generation.topics.items() for number in range(count)]


async def describe_generation(connection: Any, generation: Generation) -> dict[str, Any]:
    """Give what a person wants to know of *generation*: state, lag in records, parked records."""
    seen = await read_seen(connection, generation.id)
    wanted = list_partitions(generation)
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
