"""What the commands share: a parser each, an open store, the modules that declare events."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventstore.codec import decode, encode
from eventstore.console import Command, add_json
from eventstore.envelope import Envelope
from eventstore.errors import UndecodableRecord, UsageError
from eventstore.event import fields_of
from eventstore.privacy.seal import mask
from eventstore.stream import Position

if TYPE_CHECKING:
    from eventstore.postgres.store import PostgresEventStore


def add_command(commands: Any, name: str, text: str, command: Command) -> argparse.ArgumentParser:
    """Add the command *name* with `--json`; *command* runs it and gives the exit code."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    add_json(parser)
    return parser


def add_app(parser: argparse.ArgumentParser) -> None:
    """Add `--app`; hand its value to `import_apps`."""
    parser.add_argument("--app", metavar="MODULE", action="append", default=[], help="import MODULE, which declares events")


@asynccontextmanager
async def open_store(application: str = "eventstore") -> AsyncGenerator[PostgresEventStore]:
    """Open the store of the environment; *application* is what `pg_stat_activity` shows."""
    from eventstore.postgres.engine import open_engine
    from eventstore.postgres.store import PostgresEventStore

    engine = open_engine(application=application)
    try:
        async with PostgresEventStore.open(engine=engine) as store:
            yield store
    finally:
        await engine.dispose()


def import_apps(names: Sequence[str]) -> None:
    """Import the modules that declare events; the working directory comes last, so that it hides nothing of ours."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    for name in names:
        module = name.partition(":")[0]
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UsageError(f"--app {name}: {error}. Give an importable module, such as shop.events.") from error


def parse_json(text: str) -> Any:
    """Read a JSON argument. Raises UsageError that shows how to quote it."""
    try:
        return decode(text)
    except UndecodableRecord as error:
        raise UsageError(f"JSON: {error.__cause__}; quote it for the shell, such as '{{\"total\": 5}}'") from error


def parse_position(text: str, option: str) -> Position:
    """Read a position as the commands print it. Raises UsageError that names *option*."""
    try:
        return Position.parse(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a position: give one as printed, such as 812.40") from None


def show_line(envelope: Envelope[Any]) -> str:
    """Give the line that a person reads."""
    fields = encode(fields_of(envelope.data)).decode()
    return f"{envelope.position}  {envelope.recorded_at:%Y-%m-%d %H:%M:%S}  {envelope.stream} {envelope.version}  {envelope.type}  {fields}"


def show_facts(envelope: Envelope[Any]) -> dict[str, Any]:
    """Give what `--json` shows of an event."""
    data: Any = envelope.data
    return {
        "stream": envelope.stream,
        "version": envelope.version,
        "position": str(envelope.position),
        "id": envelope.id,
        "type": envelope.type,
        "schema_version": envelope.schema_version,
        "data": mask(data) if type(data) is dict else fields_of(data),  # pyright: ignore[reportUnknownArgumentType]
        "metadata": envelope.metadata,
        "occurred_at": envelope.occurred_at,
        "recorded_at": envelope.recorded_at,
    }
