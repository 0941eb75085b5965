"""`projections parked list | show | retry | skip`: see what was set aside, and have its owners mend it.

Payloads are masked unless asked for, and personal fields are never opened. What is asked for is carried out by the worker that owns
the partition, with the code and under the fence of its generation (`projections.parking`); the command only waits for it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
import time
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import encode, loads
from eventstore.console import Output
from eventstore.errors import PreconditionFailed, TimedOut, UsageError
from eventstore.postgres.engine import Connection, checkout
from eventstore.privacy.seal import mask
from projections.catalogue import list_generations, note
from projections.cli.program import add_command, add_projection, opened_engine, table
from projections.generation import FED, Generation, State
from projections.parking import Due, ask_retry, ask_skip, count_asked, find_parked, list_left, list_parked, read_headers

PLACE = re.compile(r"^(?P<topic>.+)/(?P<partition>\d+)@(?P<offset>\d+)$")
ENVELOPE = frozenset(
    {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "schemaversion", "streamversion", "position"}
)
LOOK_S = 0.1
Place = tuple[str, int, int]


def declare(commands: Any) -> None:
    """Add the commands to *commands*."""
    parser = add_command(commands, "parked", "show the records that were set aside, and why; have them tried again", _list)
    add_projection(parser)
    inner = parser.add_subparsers(metavar="COMMAND")
    add_projection(add_command(inner, "list", "list them, oldest first (what `parked` alone does)", _list))
    show = _add(inner, "show", "show one record, its payload masked", _show)
    show.add_argument("record", metavar="RECORD", help="topic/partition@offset, as listed")
    show.add_argument("--reveal", action="store_true", help="show the payload; personal fields stay sealed")
    retry = _add(inner, "retry", "have keys tried again, in order, by the worker that owns them", _retry)
    retry.add_argument("record", metavar="RECORD", nargs="?", help="a record of the key, as topic/partition@offset")
    retry.add_argument("--key", help="the key, as listed")
    retry.add_argument("--all", action="store_true", help="every key")
    skip = _add(inner, "skip", "leave one record out for good, and go on with the later ones of its key", _skip)
    skip.add_argument("record", metavar="RECORD", help="topic/partition@offset, as listed")
    skip.add_argument("--why", metavar="TEXT", required=True, help="the reason, for the audit")
    for each in (retry, skip):
        each.add_argument("--wait", metavar="S", type=float, default=30.0, help="seconds to wait for the owner (30)")
    for each in inner.choices.values():
        _keep_outer(each)


def _add(commands: Any, name: str, text: str, command: Any) -> argparse.ArgumentParser:
    parser = add_command(commands, name, text, command)
    add_projection(parser)
    parser.add_argument("--generation", metavar="N", type=int, help="of this generation (default: the live one)")
    return parser


def _keep_outer(parser: argparse.ArgumentParser) -> None:
    """Let options that were given before the inner command hold when they are not repeated after it."""
    for action in parser._actions:
        if action.dest in {"json", "projection"}:
            action.default = argparse.SUPPRESS


async def _list(arguments: argparse.Namespace, output: Output) -> int:
    async with opened_engine("refold projections parked") as engine, checkout(engine) as connection:
        facts = await list_parked(connection, arguments.projection)
    shown = [{"record": f"{each['topic']}/{each['partition']}@{each['offset']}", **_brief(each)} for each in facts]
    output.result(facts, table(shown) if shown else "nothing is parked")
    return 0


def _brief(fact: dict[str, Any]) -> dict[str, Any]:
    reason = "skipped, its worker will take it out" if fact["skip"] else fact["reason"]
    return {
        "read model": f"{fact['projection']} g{fact['number']}",
        "key": fact["key"],
        "since": fact["parked_at"],
        "tried": fact["attempts"],
        "next": fact["retry_at"],
        "reason": reason,
    }


async def _show(arguments: argparse.Namespace, output: Output) -> int:
    place = parse_place(arguments.record)
    async with opened_engine("refold projections parked") as engine, checkout(engine) as connection:
        generation = await _choose(connection, arguments, place)
        found = await find_parked(connection, generation.id, place)
    if found is None:
        raise _absent(arguments.record, generation)
    value = found.pop("value")
    found["key"] = None if found["key"] is None else bytes(found["key"]).decode(errors="backslashreplace")
    headers = read_headers(found["headers"])
    found["headers"] = {name: _text(text) if arguments.reveal else "…" for name, text in headers}
    found["payload"] = show_payload(None if value is None else bytes(value), reveal=arguments.reveal)
    if output.json:
        output.result(found)
        return 0
    print("\n".join(f"{name}: {value}" for name, value in found.items() if name != "payload"))
    print(f"payload: {encode(found['payload']).decode()}")
    if not arguments.reveal:
        output.progress("the payload is masked; --reveal shows it, personal fields apart")
    return 0


async def _retry(arguments: argparse.Namespace, output: Output) -> int:
    if sum((bool(arguments.record), arguments.key is not None, arguments.all)) != 1:
        raise UsageError("what is to be tried again? Give one of RECORD, --key KEY, --all")
    async with opened_engine("refold projections parked") as engine:
        async with checkout(engine) as connection:
            place = parse_place(arguments.record) if arguments.record else None
            generation = await _choose(connection, arguments, place)
            key = None if arguments.key is None else arguments.key.encode()
            if place is not None:
                found = await find_parked(connection, generation.id, place)
                if found is None:
                    raise _absent(arguments.record, generation)
                key = None if found["key"] is None else bytes(found["key"])
                if key is None:
                    raise UsageError(
                        f"{arguments.record} has no key and waits for no other: it is tried again with --all, or skipped"
                    )
            asked = await ask_retry(connection, generation.id, key)
        if not asked:
            raise PreconditionFailed(
                f"{generation}: nothing is parked under {arguments.key or 'any key'}; see `projections parked`"
            )
        return await _follow(engine, generation, asked, arguments.wait, output)


async def _skip(arguments: argparse.Namespace, output: Output) -> int:
    place = parse_place(arguments.record)
    async with opened_engine("refold projections parked") as engine:
        async with checkout(engine) as connection, connection.transaction():
            generation = await _choose(connection, arguments, place)
            found = await find_parked(connection, generation.id, place)
            asked = await ask_skip(connection, generation.id, place)
            if not asked or found is None:
                raise _absent(arguments.record, generation)
            detail = {"record": arguments.record, "why": arguments.why, "reason": found["reason"]}
            await note(connection, "skip", generation, origin=generation, detail=detail)
        return await _follow(engine, generation, asked, arguments.wait, output)


async def _follow(engine: AsyncEngine, generation: Generation, asked: Sequence[Due], wait_s: float, output: Output) -> int:
    """Wait until the owners have carried out what was asked, and tell what is still parked."""
    deadline = time.monotonic() + wait_s
    async with checkout(engine) as connection:
        while await count_asked(connection, generation.id, asked):
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"{generation}: no worker has carried it out within {wait_s:g} s; it is noted, and will be as soon as one of the "
                    f"release {generation.fingerprint} owns the partition. Is `projections run` of that release running?"
                )
            await asyncio.sleep(LOOK_S)
        left = await list_left(connection, generation.id, asked)
    facts: list[dict[str, Any]] = [
        {
            "record": f"{each['topic']}/{each['partition']}@{each['offset']}",
            "key": None if each["key"] is None else bytes(each["key"]).decode(errors="backslashreplace"),
            "waiting": each["waiting"],
            "tried": each["attempts"],
            "reason": each["reason"],
        }
        for each in left
    ]
    done = len(asked) - len(facts)
    text = f"{generation}: {done} of {len(asked)} keys are parked no more"
    output.result({"asked": len(asked), "mended": done, "left": facts}, f"{text}\n{table(facts)}" if facts else text)
    return 1 if facts else 0


async def _choose(connection: Connection, arguments: argparse.Namespace, place: Place | None) -> Generation:
    """Give the generation that is meant. Raises UsageError when several may be, PreconditionFailed when no worker feeds it."""
    parked = await list_parked(connection, arguments.projection)
    names = {each["projection"] for each in parked if place in (None, (each["topic"], each["partition"], each["offset"]))}
    if arguments.projection is None and len(names) > 1:
        raise UsageError(f"which read model? Give --projection, one of {', '.join(sorted(names))}")
    name = arguments.projection or next(iter(names), None)
    known = [] if name is None else await list_generations(connection, name)
    number = arguments.generation
    chosen = next((g for g in known if (g.number == number if number else g.state is State.LIVE)), None)
    if chosen is None:
        which = f"{name or 'any read model'}{f' g{number}' if number else ''}"
        raise PreconditionFailed(f"nothing is parked in {which}; see `projections parked`")
    if chosen.state not in FED and arguments.command is not _show:
        raise PreconditionFailed(
            f"{chosen} is {chosen.state}, and only what workers feed is mended in place: mend the handler and replay again"
        )
    return chosen


def parse_place(text: str) -> Place:
    """Read `topic/partition@offset`. Raises UsageError."""
    found = PLACE.match(text)
    if found is None:
        raise UsageError(f"{text!r} names no record: give topic/partition@offset, as `projections parked` lists it")
    return found["topic"], int(found["partition"]), int(found["offset"])


def show_payload(value: bytes | None, *, reveal: bool) -> Any:
    """Give what a person may see of *value*: the envelope and the shape of the data; with *reveal* all but personal fields. Pure."""
    if value is None:
        return None
    try:
        document = mask(loads(value))
    except ValueError:
        facts = {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
        return {**facts, "base64": b64encode(value).decode(), "text": _text(value)} if reveal else facts
    if reveal:
        return document
    if isinstance(document, dict) and {"specversion", "data"} <= set(document):  # pyright: ignore[reportUnknownArgumentType]
        return {name: part if name in ENVELOPE else _hide(part) for name, part in document.items()}  # pyright: ignore[reportUnknownVariableType]
    return _hide(document)


def _hide(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _hide(value) for name, value in part.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(part, list):
        return [_hide(value) for value in part]  # pyright: ignore[reportUnknownVariableType]
    return None if part is None else f"<{type(part).__name__}>"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="backslashreplace")


def _absent(record: str, generation: Generation) -> PreconditionFailed:
    return PreconditionFailed(f"{record} is not parked in {generation}; see `projections parked`")
