"""`replay --projection X --from-beginning` rebuilds a read model beside the live one, verifies it and swaps it in.

`replay status | rollback | swap | gc` show and steer what it made. Exit codes: 0 done, 3 refused with nothing changed, 4 timed
out, 5 another operator is at it, 6 a server does not answer.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.console import Output, add_json, make_parser, run, tune_collector
from eventstore.errors import PreconditionFailed, RefoldError, UsageError
from eventstore.postgres.engine import checkout
from eventstore.settings import KafkaSettings
from projections.cli import describe_generation, opened_engine, require_app, table
from projections.cli.status import SILENT_S
from projections.control.catalogue import list_generations, read_audit, require_generations
from projections.control.checkpoint import Vector, has_reached, read_owners, read_vector
from projections.control.generation import FED, Generation, State
from projections.copies import follow
from projections.declaration.projection import Projection
from projections.feeding.deriving import is_over
from projections.readmodels.views import move_views
from projections.settings import ProjectionSettings
from replay.audit import tell_move
from replay.bound import is_bounded
from replay.chain import describe_chain, require_upstream, wait_level
from replay.choice import Choices
from replay.collect import collect
from replay.construction import part
from replay.construction.crew import find_obstacle
from replay.construction.member import enlisted
from replay.cost import require_room
from replay.cutover import swap
from replay.inquiry import add_inquiries
from replay.operator import operating
from replay.progress import Reporter
from replay.run import Replay, require_beginning
from replay.settings import ReplaySettings
from replay.verification.contrast import find_generation
from replay.verification.trial import require_unparked

INTERRUPTED = "what is committed stays; the same command goes on from there, and `replay status` shows where it stands"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the console program `replay`."""
    parser = make_parser("replay", __doc__ or "")
    _add_run(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, command, text in (
        ("status", _status, "show the generations of each projection and the latest moves"),
        ("rollback", _rollback, "make the generation that was live before live again"),
        ("swap", _promote, "make another fed generation live (--to N)"),
        ("gc", _gc, "drop failed generations and retired ones past their grace time"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        add_json(sub)
        sub.set_defaults(command=command)
        sub.add_argument("--projection", default=argparse.SUPPRESS, required=name in {"rollback", "swap"})
        sub.add_argument("--app", default=argparse.SUPPRESS)
        if name == "swap":
            sub.add_argument("--to", required=True, metavar="N", help="number of the generation, such as 3 or g3")
            sub.add_argument("--accept-parked", action="store_true", help="swap although records are parked in it")
        if name == "gc":
            sub.add_argument("--force", action="store_true", help="also those still in their grace time: no rollback after that")
            sub.add_argument("--bounded", action="store_true", help="also those that were built by --until")
    add_inquiries(commands)
    return run(parser, argv)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_replay)
    add_json(parser)
    parser.add_argument("--projection", help="which projection")
    parser.add_argument("--from-beginning", action="store_true", help="read every topic from offset zero")
    parser.add_argument(
        "--from-archive", metavar="URL", help="the same, reading old offsets from an archive and the rest from Kafka"
    )
    parser.add_argument("--app", help="module:name of the Projections (env: REFOLD_PROJECTIONS_APP)")
    parser.add_argument(
        "--from-store", action="store_true", help="the same, reading events that the topic no longer has from the event table"
    )
    parser.add_argument(
        "--until",
        metavar="TIME|OFFSETS",
        help="stop there (an ISO time, or PARTITION=OFFSET,…) and keep the generation beside the live one, to look at the past",
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="build in N processes where rows are never shared (0 = one a core)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and change nothing")
    parser.add_argument(
        "--strict", action="store_true", help="refuse code that may give other rows the next time (clock, chance, I/O)"
    )
    parser.add_argument("--no-swap", action="store_true", help="stop once verified; run again to swap")
    parser.add_argument("--accept-parked", action="store_true", help="swap although records are parked")
    parser.add_argument("--accept-differences", action="store_true", help="swap although the same code gave other rows")
    parser.add_argument(
        "--grace", type=float, metavar="S", help="seconds that the old generation is still fed (env: REFOLD_PROJECTIONS_GRACE_S)"
    )


async def _replay(arguments: argparse.Namespace, output: Output) -> int:
    try:
        return await _rebuild(arguments, output)
    except asyncio.CancelledError:  # Ctrl-C
        rest = "nothing was changed" if arguments.dry_run else INTERRUPTED
        output.progress(f"interrupted: {rest}", projection=arguments.projection)
        raise


async def _rebuild(arguments: argparse.Namespace, output: Output) -> int:
    settings = ProjectionSettings()
    if not arguments.projection:
        raise UsageError("which projection? Give --projection NAME --from-beginning")
    projection = require_app(arguments.app, settings).named(arguments.projection)
    require_beginning(from_beginning=arguments.from_beginning or arguments.from_store or bool(arguments.from_archive))
    _require_natural(arguments)
    choices = Choices(
        swap=not arguments.no_swap,
        archive=arguments.from_archive,
        accept_parked=arguments.accept_parked,
        accept_differences=arguments.accept_differences,
        until=arguments.until,
        store=arguments.from_store,
        processes=1 if arguments.dry_run else arguments.processes or os.cpu_count() or 1,
        app=arguments.app or settings.app,
        grace_s=settings.grace_s if arguments.grace is None else arguments.grace,
    )
    tune_collector()
    limits = ReplaySettings()
    with (
        enlisted(_count_members(projection, choices), part.main, "replay.construction.part") as members,
        Reporter(output, projection.name) as reporter,
    ):
        async with opened_engine("refold replay") as engine, operating(engine, projection.name):
            replay = Replay(projection, engine, reporter, kafka=KafkaSettings(), settings=limits, choices=choices)
            plan = await replay.plan()
            async with checkout(engine) as connection:
                chain = await describe_chain(connection, require_app(arguments.app, settings), projection)
            lines = ["Plan", *plan.lines(), *(f"  chain    {each}" for each in chain)]
            if arguments.dry_run:
                output.result({**_plan_facts(plan), "chain": chain}, "\n".join(lines))
            elif not output.json:
                output.progress("\n".join(lines))
            require_room(plan.cost, limits.disk_reserve_mib << 20)
            if arguments.strict and plan.warnings:
                raise PreconditionFailed(
                    f"--strict, and {len(plan.warnings)} places may give other rows: {'; '.join(plan.warnings)}"
                )
            if arguments.dry_run:
                return 0
            facts = await replay.run(plan, members)
    output.result(facts, _conclude(facts))
    return 0


def _require_natural(arguments: argparse.Namespace) -> None:
    for name in ("processes", "grace"):
        if (getattr(arguments, name) or 0) < 0:
            raise UsageError(f"--{name} {getattr(arguments, name):g} is below zero")


def _count_members(projection: Projection, choices: Choices) -> int:
    """Give how many processes to keep ready beside this one."""
    return 0 if find_obstacle(projection) or not choices.app else choices.processes - 1


def _plan_facts(plan: Any) -> dict[str, Any]:
    return {
        "projection": plan.projection,
        "step": str(plan.step),
        "fingerprint": plan.fingerprint,
        "live": plan.live.number if plan.live else None,
        "target": plan.target.number if plan.target else None,
        "records": plan.records,
        "partitions": plan.partitions,
        "seconds": round(plan.seconds, 1),
        **plan.cost.facts(),
        "changes": list(plan.changes),
        "warnings": list(plan.warnings),
    }


def _conclude(facts: dict[str, Any]) -> str:
    name, number = facts["projection"], facts["generation"]
    if facts.get("already"):
        return f"{name} g{number} is live already; its replay had ended. Nothing was rebuilt."
    if "until" in facts:
        return f"{name} g{number} stands at {facts['until']['asked']}, in schema {facts['schema']}. Drop it with: replay gc --bounded"
    if facts["state"] != "live":
        return f"{name} g{number} is {facts['state']}; run the same command without --no-swap to make it live."
    return f"{name} g{number} is live after {facts['seconds']:.1f} s. Undo with: replay rollback --projection {name}"


async def _status(arguments: argparse.Namespace, output: Output) -> int:
    async with opened_engine("refold replay status") as engine, checkout(engine) as connection:
        every = await require_generations(connection, arguments.projection)
        known = [each for each in every if each.state is not State.DROPPED]
        facts = [await describe_generation(connection, each) for each in known]
        audit = [row for name in dict.fromkeys(each.projection for each in known) for row in await read_audit(connection, name)]
    output.result({"generations": facts, "audit": audit}, "\n".join([table(facts), "", *map(tell_move, audit)]))
    return 0


async def _rollback(arguments: argparse.Namespace, output: Output) -> int:
    async with _operating(arguments, "rollback") as (engine, known):
        async with checkout(engine) as connection:
            moves = await read_audit(connection, arguments.projection, limit=1000, moves=True)
        return await _make_live(engine, find_previous(known, moves), arguments, output, "rollback")


async def _promote(arguments: argparse.Namespace, output: Output) -> int:
    async with _operating(arguments, "swap") as (engine, known):
        target = find_generation(known, arguments.to)
        if is_bounded(target):
            raise PreconditionFailed(f"{target} stops at {target.detail['until']['asked']} and is never fed, so it can't go live")
        if not arguments.accept_parked:
            await require_unparked(engine, target)
        return await _make_live(engine, target, arguments, output, "swap")


@asynccontextmanager
async def _operating(arguments: argparse.Namespace, action: str) -> AsyncGenerator[tuple[AsyncEngine, list[Generation]]]:
    """Open the engine, be the projection's one operator, and give its generations, newest first."""
    async with opened_engine(f"refold replay {action}") as engine:
        async with checkout(engine) as connection:
            await require_generations(connection, arguments.projection)
        async with operating(engine, arguments.projection):
            async with checkout(engine) as connection:
                known = await list_generations(connection, arguments.projection)
            yield engine, known


def find_previous(known: Sequence[Generation], moves: Sequence[dict[str, Any]]) -> Generation:
    """Give the generation that was live before the present one, by the *moves* of the audit (newest first).

    Raises PreconditionFailed when there is none to go back to. Pure.
    """
    live = next((each for each in known if each.state is State.LIVE), None)
    if live is None:
        raise PreconditionFailed("nothing is live, so there is nothing to roll back")
    last = next((row for row in moves if row["to_generation"] == live.number), None)
    previous = next((each for each in known if last and each.number == last["from_generation"]), None)
    if previous is None or previous.state is not State.RETIRED:
        was = f"{previous} is {previous.state}" if previous else f"{live} is the first"
        raise PreconditionFailed(f"there is no earlier generation to go back to: {was}. The live one stays.")
    return previous


async def _make_live(engine: AsyncEngine, target: Generation, arguments: argparse.Namespace, output: Output, action: str) -> int:
    settings, limits = ProjectionSettings(), ReplaySettings()
    await require_upstream(engine, target)
    reach_all = wait_level(engine, KafkaSettings(), target)

    async def reach_vector(vector: Vector) -> None:
        if not await _is_fed(engine, target):
            await _require_level(engine, target, vector)
        await reach_all(vector)
        if action == "swap" and not arguments.accept_parked:
            await require_unparked(engine, target)

    done = await swap(
        engine,
        target,
        reach_vector,
        action=action,
        grace_s=settings.grace_s,
        limit_s=limits.swap_s,
        detail={},
        mark="finished",
    )
    await _show(engine, done.live, output)
    facts = {
        "projection": target.projection,
        "generation": done.live.number,
        "from": done.retired.number if done.retired else None,
        "held_s": round(done.held_s, 4),
        "parked": done.parked,
    }
    async with checkout(engine) as connection:
        owners = await read_owners(connection, done.live.id)
    if not any(" worker" in each.owner and each.age_s < SILENT_S for each in owners.values()):
        output.progress(
            f"nobody feeds {done.live} at the moment: start `projections run` of its release (code {done.live.fingerprint}), or readers "
            "see no new events"
        )
    again = "live again" if target.state is State.RETIRED else "live"
    lacks = f"; {done.parked:,} records are parked in it, see `projections parked`" if done.parked else ""
    output.result(facts, f"{done.live} is {again} (was {done.retired}); writers held {done.held_s * 1000:.0f} ms{lacks}")
    return 0


async def _show(engine: AsyncEngine, live: Generation, output: Output) -> None:
    """Point views and sinks at *live*. What can't be now is told and not raised: the swap is done, and a rollback run again undoes it."""
    told = [await move_views(engine, live)]
    try:
        await follow(engine, live)
    except RefoldError as error:
        told.append(f"readers of a sink without the catalogue see the generation before until workers move its pointer: {error}")
    for each in filter(None, told):
        output.progress(f"{live} is live, but {each}")


async def _is_fed(engine: AsyncEngine, target: Generation) -> bool:
    async with checkout(engine) as connection:
        return target.state in FED and not await is_over(connection, target)


async def _require_level(engine: AsyncEngine, target: Generation, vector: Vector) -> None:
    """Refuse a swap to a generation that nobody feeds and that is behind *vector*: to wait would hold the live one back for nothing."""
    async with checkout(engine) as connection:
        here = await read_vector(connection, target.id)
    if not has_reached(here, vector):
        behind = sum(max(0, offset - here.get(each, 0)) for each, offset in vector.items())
        ended = (
            f"whose grace time ended at {target.retire_at:%Y-%m-%d %H:%M:%S} UTC"
            if target.retire_at
            else f"that is {target.state}"
        )
        then = "it makes another one of the same code" if target.retire_at else "it goes on to the end"
        raise PreconditionFailed(
            f"{target} is {behind:,} offsets behind the live one, and nobody feeds a generation {ended}. Run "
            f"`replay --projection {target.projection} --from-beginning` with its release again: {then}, and swaps."
        )


async def _gc(arguments: argparse.Namespace, output: Output) -> int:
    async with opened_engine("refold replay gc") as engine:
        if arguments.projection:
            async with checkout(engine) as connection:
                await require_generations(connection, arguments.projection)
        dropped = await collect(engine, arguments.projection, force=arguments.force, bounded=arguments.bounded)
    facts = [{"projection": each.projection, "generation": each.number, "was": str(each.state)} for each in dropped]
    output.result(facts, table(facts) if facts else "nothing to drop")
    return 0


if __name__ == "__main__":
    sys.exit(main())
