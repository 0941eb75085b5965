"""`eventstore append`: record one event."""

from __future__ import annotations

import argparse
from typing import Any
from uuid import UUID

from eventstore.cli.program import add_app, add_command, import_apps, open_store, parse_json
from eventstore.console import Output
from eventstore.envelope import NewEvent
from eventstore.errors import UsageError
from eventstore.lines import make_event
from eventstore.stream import ANY_VERSION, NO_STREAM, STREAM_EXISTS

_WORDS = {"any": ANY_VERSION, "none": NO_STREAM, "exists": STREAM_EXISTS}


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(commands, "append", "Record one event.", append)
    parser.add_argument("stream", metavar="STREAM")
    parser.add_argument("type", metavar="TYPE", help="stored name of the event type, such as order-placed")
    parser.add_argument("data", metavar="JSON", help="its fields as a JSON object")
    parser.add_argument("--expected", metavar="N", default="any", help="version of the stream, or any, none, exists (any)")
    parser.add_argument("--id", metavar="UUID", help="event id: the same id again records nothing and gives the same token")
    parser.add_argument(
        "--tag", metavar="TAG", action="append", default=[], help="what the event is about, such as course:5; repeatable"
    )
    add_app(parser)


async def append(arguments: argparse.Namespace, output: Output) -> int:
    """Record one event and print its token."""
    import_apps(arguments.app)
    expected = _expected(arguments.expected)
    event = make_event(arguments.type, parse_json(arguments.data), checked=bool(arguments.app))
    new = NewEvent(event, id=_uuid(arguments.id), tags=arguments.tag) if arguments.id else NewEvent(event, tags=arguments.tag)
    async with open_store() as store:
        token = await store.append(arguments.stream, [new], expected=expected)
    facts = {"stream": token.stream, "version": token.version, "position": str(token.position), "token": str(token), "id": new.id}
    output.result(facts, str(token))
    return 0


def _expected(text: str) -> int:
    if text in _WORDS:
        return _WORDS[text]
    if text.isdecimal():
        return int(text)
    raise UsageError(f"--expected {text!r}: give a version from 0, or any, none, exists")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(f"--id {text!r} is not a UUID") from None
