"""`eventstore migrate | relay | append | show | import | doctor`: parses and calls, nothing else."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from eventstore.codec import decode, encode
from eventstore.console import Command, Output, add_json, make_parser, run
from eventstore.envelope import Envelope, NewEvent
from eventstore.errors import UndecodableRecord, UsageError
from eventstore.event import fields_of
from eventstore.lines import make_event, read_lines
from eventstore.stream import ANY_VERSION, NO_STREAM, STREAM_EXISTS

_WORDS = {"any": ANY_VERSION, "none": NO_STREAM, "exists": STREAM_EXISTS}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it has to say, our own errors say in one sentence
    parser = make_parser("eventstore", "Record events in PostgreSQL, read them, and relay them to Kafka.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for declare in (_declare_migrate, _declare_relay, _declare_append, _declare_show, _declare_import, _declare_doctor):
        declare(commands)
    return run(parser, argv)


def _add(commands: Any, name: str, text: str, command: Command) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    add_json(parser)
    return parser


def _add_app(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--app", metavar="MODULE", action="append", default=[], help="import MODULE, which declares events")


def _declare_migrate(commands: Any) -> None:
    parser = _add(commands, "migrate", "Bring the database schema up to this release.", migrate)
    parser.add_argument("--sql", action="store_true", help="print the SQL instead of running it")


def _declare_relay(commands: Any) -> None:
    parser = _add(commands, "relay", "Publish events to Kafka in order until stopped (SIGTERM, SIGINT).", relay)
    parser.add_argument("--drain", action="store_true", help="publish what is there now, then end")


def _declare_append(commands: Any) -> None:
    parser = _add(commands, "append", "Record one event.", append)
    parser.add_argument("stream", metavar="STREAM")
    parser.add_argument("type", metavar="TYPE", help="stored name of the event type, such as order-placed")
    parser.add_argument("data", metavar="JSON", help="its fields as a JSON object")
    parser.add_argument("--expected", metavar="N", default="any", help="version of the stream, or any, none, exists (any)")
    parser.add_argument("--id", metavar="UUID", help="event id: the same id again records nothing and gives the same token")
    _add_app(parser)


def _declare_show(commands: Any) -> None:
    parser = _add(commands, "show", "Print a stream, one event a line.", show)
    parser.add_argument("stream", metavar="STREAM")
    parser.add_argument("--from", dest="from_version", metavar="N", type=int, default=1, help="first version (1)")
    parser.add_argument("--to", dest="to_version", metavar="N", type=int, help="last version (the newest)")
    _add_app(parser)


def _declare_import(commands: Any) -> None:
    parser = _add(commands, "import", "Record the events of a JSON Lines file by COPY; run it again after a crash.", import_file)
    parser.add_argument(
        "file", metavar="FILE", help='lines like {"stream": …, "type": …, "data": {…}}, optionally id, occurred_at, metadata'
    )
    _add_app(parser)


def _declare_doctor(commands: Any) -> None:
    _add(commands, "doctor", "Say how far ordered readers lag and what holds them back.", doctor)


async def migrate(arguments: argparse.Namespace, output: Output) -> int:
    """Migrate, or print the SQL."""
    from eventstore.postgres import migrate as migration
    from eventstore.postgres.engine import open_engine

    if arguments.sql:
        script = migration.script()
        output.result({"sql": script}, script)
        return 0
    engine = open_engine(application="eventstore migrate")
    try:
        before, now = await migration.migrate(engine)
    finally:
        await engine.dispose()
    text = f"schema revision {now}" + (" already" if before == now else f", was {before or 'none'}")
    output.result({"before": before, "revision": now}, text)
    return 0


async def relay(arguments: argparse.Namespace, output: Output) -> int:
    """Relay until a signal comes, or until nothing is left with `--drain`."""
    from eventstore.relay import Relay

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    async with _open(application="eventstore relay") as store:
        worker = Relay(store.engine)
        output.progress("relaying", drain=arguments.drain)
        done = await (worker.drain() if arguments.drain else worker.run(stop))
    facts = {"published": done.published, "position": str(done.position), "restarts": done.restarts}
    output.result(facts, f"published {done.published} events, up to position {done.position}")
    return 0


async def append(arguments: argparse.Namespace, output: Output) -> int:
    """Record one event and print its token."""
    _import_apps(arguments.app)
    expected = _expected(arguments.expected)
    event = make_event(arguments.type, _json(arguments.data), checked=bool(arguments.app))
    new = NewEvent(event, id=_uuid(arguments.id)) if arguments.id else NewEvent(event)
    async with _open() as store:
        token = await store.append(arguments.stream, [new], expected=expected)
    facts = {"stream": token.stream, "version": token.version, "position": str(token.position), "token": str(token), "id": new.id}
    output.result(facts, str(token))
    return 0


async def show(arguments: argparse.Namespace, output: Output) -> int:
    """Print one stream."""
    _import_apps(arguments.app)
    async with _open() as store:
        found = store.read_stream(
            arguments.stream, from_version=arguments.from_version, to_version=arguments.to_version, decoded=bool(arguments.app)
        )
        shown = [_facts(each) async for each in found]
    if output.json:
        output.result(shown)
    for each in () if output.json else shown:
        print(f"{each['version']:>6}  {each['occurred_at']:%Y-%m-%d %H:%M:%S}  {each['type']}  {encode(each['data']).decode()}")
    if not shown:
        output.progress(f"stream {arguments.stream!r} has no events in this range")
    return 0


async def import_file(arguments: argparse.Namespace, output: Output) -> int:
    """Import a file of JSON lines."""
    _import_apps(arguments.app)
    async with _open() as store:
        done = await store.import_events(read_lines(Path(arguments.file), checked=bool(arguments.app)))
    output.result(
        {"recorded": done.recorded, "known": done.known}, f"recorded {done.recorded} events, {done.known} known already"
    )
    return 0


async def doctor(arguments: argparse.Namespace, output: Output) -> int:
    """Print what holds ordered readers back."""
    from eventstore.postgres.horizon import find_horizon

    del arguments
    async with _open() as store:
        horizon = await find_horizon(store.engine)
        events = await store.count()
    output.result({"events": events, "horizon": horizon.facts()}, f"{events} events; {horizon.describe()}")
    return 0


@asynccontextmanager
async def _open(application: str = "eventstore") -> AsyncGenerator[Any]:
    from eventstore.postgres.engine import open_engine
    from eventstore.postgres.store import PostgresEventStore

    engine = open_engine(application=application)
    try:
        async with PostgresEventStore.open(engine=engine) as store:
            yield store
    finally:
        await engine.dispose()


def _import_apps(names: Sequence[str]) -> None:
    """Import the modules that declare events; the working directory comes last, so that it hides nothing of ours."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    for name in names:
        module = name.partition(":")[0]
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UsageError(f"--app {name}: {error}. Give an importable module, such as shop.events.") from error


def _expected(text: str) -> int:
    if text in _WORDS:
        return _WORDS[text]
    if text.isdecimal():
        return int(text)
    raise UsageError(f"--expected {text!r}: give a version from 0, or any, none, exists")


def _json(text: str) -> Any:
    try:
        return decode(text)
    except UndecodableRecord as error:
        raise UsageError(f"JSON: {error.__cause__}; quote it for the shell, such as '{{\"total\": 5}}'") from error


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(f"--id {text!r} is not a UUID") from None


def _facts(envelope: Envelope[Any]) -> dict[str, Any]:
    return {
        "stream": envelope.stream,
        "version": envelope.version,
        "position": str(envelope.position),
        "id": envelope.id,
        "type": envelope.type,
        "schema_version": envelope.schema_version,
        "data": fields_of(envelope.data),
        "metadata": envelope.metadata,
        "occurred_at": envelope.occurred_at,
        "recorded_at": envelope.recorded_at,
    }
