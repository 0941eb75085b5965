"""`projections parked list | show | retry | skip`: see what was set aside, and have its owners mend it.

Payloads are masked unless asked for, and personal fields are never opened. What is asked for is carried out by the worker that owns
the partition, with the code and under the fence of its generation (`projections.control.parking`); the command only waits for it.
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
from projections.cli.program import add_command, add_projection, opened_engine, table
from projections.control.catalogue import list_generations, note, require_generations
from projections.control.generation import FED, Generation, State
from projections.control.parking import Due, ask_retry, ask_skip, count_asked, find_parked, list_left, list_parked, read_headers

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
    show.add_argument("--reveal", action="store_true", help="show the payload; personal fields stay sealed")
    retry = _add(inner, "retry", "have keys tried again, in order, by the worker that owns them", _retry)
    retry.add_argument("--all", action="store_true", help="every key")
    skip = _add(inner, "skip", "leave one record out for good, and go on with the later ones of its key", _skip)
    skip.add_argument("--why", metavar="TEXT", required=True, help="the reason, for the audit")
    for each in (retry, skip):
        each.add_argument("--wait", metavar="S", type=float, default=30.0, help="seconds to wait for the owner (30)")
    for each in inner.choices.values():
        _keep_outer(each)


def _add(commands: Any, name: str, text: str, command: Any) -> argparse.ArgumentParser:
    parser = add_command(commands, name, text, command)
    add_projection(parser)
    parser.add_argument("record", metavar="RECORD", nargs="?", help="topic/partition@offset, as listed")
    parser.add_argument("--key", help="the first record of this key, as listed, in its place")
    parser.add_argument("--generation", metavar="N", type=int, help="of this generation (default: the live one)")
    return parser


def _keep_outer(parser: argparse.ArgumentParser) -> None:
    """Let options that were given before the inner command hold when they are not repeated after it."""
    for action in parser._actions:
        if action.dest in {"json", "projection"}:
            action.default = argparse.SUPPRESS


async def _list(arguments: argparse.Namespace, output: Output) -> int:
    async with opened_engine("refold projections parked") as engine, checkout(engine) as connection:
        if arguments.projection:
            await require_generations(connection, arguments.projection)
        facts = await list_parked(connection, arguments.projection)
    shown = [{"record": name_place((each["topic"], each["partition"], each["offset"])), **_brief(each)} for each in facts]
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
    async with opened_engine("refold projections parked") as engine, checkout(engine) as connection:
        _, _, found = await _find(connection, arguments)
    value = found.pop("value")
    found["key"] = _text(found["key"])
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
    async with opened_engine("refold projections parked") as engine:
        async with checkout(engine) as connection:
            if arguments.all and not (arguments.record or arguments.key):
                generation, key = await _choose(connection, arguments, None), None
            else:
                generation, _, found = await _find(connection, arguments)
                if found["key"] is None:
                    raise UsageError("this record has no key and waits for no other: it is tried again with --all, or skipped")
                key = bytes(found["key"])
            asked = await ask_retry(connection, generation.id, key)
        return await _follow(engine, generation, asked, arguments.wait, output)


async def _skip(arguments: argparse.Namespace, output: Output) -> int:
    async with opened_engine("refold projections parked") as engine:
        async with checkout(engine) as connection, connection.transaction():
            generation, place, found = await _find(connection, arguments)
            asked = await ask_skip(connection, generation.id, place)
            detail = {"record": name_place(place), "why": arguments.why, "reason": found["reason"]}
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
            "record": name_place((each["topic"], each["partition"], each["offset"])),
            "key": _text(each["key"]),
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


async def _find(connection: Connection, arguments: argparse.Namespace) -> tuple[Generation, Place, dict[str, Any]]:
    """Give the generation, the place and the content of the record that is meant: RECORD, or the first one of --key."""
    if bool(arguments.record) == (arguments.key is not None):
        raise UsageError("which record? Give RECORD or --key KEY, as `projections parked` lists them")
    place = parse_place(arguments.record) if arguments.record else None
    generation = await _choose(connection, arguments, place)
    if place is None:
        rows = await list_parked(connection, generation.projection)
        mine = (each for each in rows if each["number"] == generation.number and each["key"] == arguments.key)
        place = next(((each["topic"], each["partition"], each["offset"]) for each in mine), None)
    found = None if place is None else await find_parked(connection, generation.id, place)
    if place is None or found is None:
        raise PreconditionFailed(f"{arguments.record or arguments.key} is not parked in {generation}; see `projections parked`")
    return generation, place, found


async def _choose(connection: Connection, arguments: argparse.Namespace, place: Place | None) -> Generation:
    """Give the generation that is meant. Raises UsageError when several may be, PreconditionFailed when no worker feeds it."""
    parked = [each for each in await list_parked(connection, arguments.projection) if _is_meant(each, arguments.key, place)]
    names = sorted({each["projection"] for each in parked})
    if arguments.projection is None and len(names) > 1:
        raise UsageError(f"which read model? Give --projection, one of {', '.join(names)}")
    name, number = arguments.projection or next(iter(names), None), arguments.generation
    known = [] if name is None else await list_generations(connection, name)
    chosen = next((g for g in known if (g.number == number if number else g.state is State.LIVE)), None)
    if chosen is None or not parked:
        which = f"{name or 'any read model'}{f' g{number}' if number else ''}"
        raise PreconditionFailed(f"no such record is parked in {which}; see `projections parked`")
    if chosen.state not in FED and arguments.command is not _show:
        raise PreconditionFailed(
            f"{chosen} is {chosen.state}, and only what workers feed is mended in place: mend the handler and replay again"
        )
    return chosen


def _is_meant(fact: dict[str, Any], key: str | None, place: Place | None) -> bool:
    return place == (fact["topic"], fact["partition"], fact["offset"]) if place else key in {None, fact["key"]}


def name_place(place: Place) -> str:
    """Write a place as `parse_place` reads it."""
    return f"{place[0]}/{place[1]}@{place[2]}"


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


def _text(value: Any) -> str | None:
    return None if value is None else bytes(value).decode(errors="backslashreplace")
