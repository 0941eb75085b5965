"""`projections effects list | retry | skip`: what was to be done outside and was not, and what becomes of it.

A dead effect holds back the later ones of its stream, so that the outside sees them in order; to retry or to skip it lets them go on. Both
only change the ledger: whichever worker of the live release comes first carries out what is due.
"""

from __future__ import annotations

import argparse
from typing import Any
from uuid import UUID

from eventstore.console import Output
from eventstore.errors import PreconditionFailed, UsageError
from eventstore.postgres.engine import checkout
from projections.cli.program import add_command, add_projection, opened_engine, table
from projections.control.catalogue import find_live, note
from projections.declaration.effect import name_key
from projections.effects.dispatch import list_effects, settle_effects

STATES = ("due", "done", "dead", "skipped")
SHOWN = ("due", "dead")


def declare(commands: Any) -> None:
    """Add the commands to *commands*."""
    parser = add_command(commands, "effects", "show effects that were not carried out, and why; retry or skip them", _list)
    inner = parser.add_subparsers(metavar="COMMAND")
    listing = add_command(inner, "list", "list them, oldest first (what `effects` alone does)", _list)
    for each in (parser, listing):
        add_projection(each)
        each.add_argument("--state", choices=STATES, help="only those in this state (default: due and dead)")
        each.add_argument("--most", metavar="N", type=int, default=100, help="at most so many (100)")
    retry = add_command(inner, "retry", "let effects that failed be tried again at once, from the first attempt on", _retry)
    skip = add_command(inner, "skip", "leave effects out for good, and let the later ones of their streams go on", _skip)
    skip.add_argument("--why", metavar="TEXT", required=True, help="the reason, for the audit")
    for each in (retry, skip):
        add_projection(each)
        each.add_argument("event", metavar="EVENT", nargs="?", help="the event's id, as listed")
        each.add_argument("--effect", help="only this effect")
        each.add_argument("--all", action="store_true", help="every one that failed; to skip, every dead one")
    for each in inner.choices.values():
        for action in each._actions:  # what was given before the inner command holds when it is not repeated after it
            if action.dest in {"json", "projection", "state", "most"}:
                action.default = argparse.SUPPRESS


async def _list(arguments: argparse.Namespace, output: Output) -> int:
    states = (arguments.state,) if arguments.state else SHOWN
    async with opened_engine("refold projections effects") as engine, checkout(engine) as connection:
        facts = await list_effects(connection, arguments.projection, states, arguments.most)
    for each in facts:
        each["idempotency_key"] = name_key(each["projection"], each["effect"], each["event_id"])
    shown = [{**each, "outcome": None if each["outcome"] is None else str(each["outcome"])[:40]} for each in facts]
    output.result(facts, table(shown) if shown else f"no effect is {' or '.join(states)}")
    return 0


async def _retry(arguments: argparse.Namespace, output: Output) -> int:
    return await _settle(arguments, output, "due", "retry-effect")


async def _skip(arguments: argparse.Namespace, output: Output) -> int:
    return await _settle(arguments, output, "skipped", "skip-effect")


async def _settle(arguments: argparse.Namespace, output: Output, state: str, action: str) -> int:
    name = arguments.projection
    if name is None or bool(arguments.event) == arguments.all:
        raise UsageError("which effects? Give --projection, and the EVENT as `projections effects` lists it, or --all")
    event_id = _parse(arguments.event) if arguments.event else None
    async with opened_engine("refold projections effects") as engine, checkout(engine) as connection, connection.transaction():
        live = await find_live(connection, name)
        changed = await settle_effects(connection, name, state, event_id, arguments.effect) if live else []
        if live is None or not changed:
            raise PreconditionFailed(f"no such effect of {name} waits for a decision; see `projections effects list`")
        detail = {"effects": [[each["effect"], str(each["event_id"]), each["reason"]] for each in changed]}
        why = {"why": arguments.why} if state == "skipped" else {}
        await note(connection, action, live, origin=live, detail={**detail, **why})
    facts = [{**each, "state": state} for each in changed]
    output.result(facts, table(facts))
    return 0


def _parse(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is no event's id") from None
