"""`replay why` and `replay diff`: questions about rows, answered from the log; they change nothing. `replay repair` puts rows right."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from eventstore.console import Command, Output, add_json
from eventstore.errors import PreconditionFailed, VerificationFailed
from eventstore.postgres.engine import checkout
from eventstore.settings import KafkaSettings
from projections.cli import opened_engine, require_app
from projections.control.catalogue import list_generations
from projections.control.generation import Generation, State
from projections.copies import describe_copies
from projections.declaration.projection import Projection
from projections.declaration.registry import Projections
from projections.settings import ProjectionSettings
from replay.bound import parse_time
from replay.chain import compose_rebuilds, list_downstream
from replay.evidence.address import Address, parse_address
from replay.evidence.cause import Cause, Complement, Origin
from replay.evidence.origin import Explainer
from replay.evidence.repair import Outcome, Repair
from replay.evidence.selection import Selection, require_kind
from replay.operator import operating
from replay.verification.contrast import Contrast, contrast, find_generation
from replay.verification.verify import TableReport


def add_inquiries(commands: Any) -> None:
    """Add the parsers of `why` and `diff`."""
    why = add_question(commands, "why", _why, "show the exact events behind a row, with the row after each")
    why.add_argument("key", nargs="+", metavar="COLUMN=VALUE", help="the row's key")
    why.add_argument("--table", help="which table, where several have such a key")
    why.add_argument("--generation", metavar="N", help="of which generation (default: the live one)")
    why.add_argument("--last", type=int, metavar="N", help="print only the last N events")
    why.add_argument("--reveal", action="store_true", help="show values although events of this projection hold personal data")
    diff = add_question(commands, "diff", _diff, "compare two generations: rows changed, only here, only there, and why")
    diff.add_argument("left", metavar="gA", help="a generation, such as g3")
    diff.add_argument("right", metavar="gB", help="another one")
    diff.add_argument(
        "--samples", type=int, default=3, metavar="N", help="differing rows shown for each table, with their events"
    )
    diff.add_argument("--wait", type=float, default=5.0, metavar="S", help="seconds to wait until both are at one vector")
    diff.add_argument("--reveal", action="store_true", help="show values although events of this projection hold personal data")
    repair = add_question(
        commands, "repair", _repair, "fold rows of the live generation anew from the log and write what differs"
    )
    repair.add_argument("key", nargs="*", metavar="COLUMN=VALUE", help="the row's key, or say --type or --since")
    repair.add_argument("--table", help="which table, where several have such a key")
    repair.add_argument("--type", metavar="EVENT", help="all rows that events of this type reached")
    repair.add_argument("--since", metavar="TIME", help="all rows that events recorded since then reached (ISO, UTC)")
    repair.add_argument("--generation", metavar="N", help="of which generation (default: the live one)")
    repair.add_argument("--samples", type=int, default=5, metavar="N", help="mended rows shown, before and after")
    repair.add_argument("--dry-run", action="store_true", help="say what is wrong and write nothing")


def add_question(commands: Any, name: str, command: Command, text: str) -> argparse.ArgumentParser:
    """Add the parser of one command about one projection of an app."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    add_json(parser)
    parser.set_defaults(command=command)
    parser.add_argument("--projection", default=argparse.SUPPRESS, required=True, help="which projection")
    parser.add_argument("--app", default=argparse.SUPPRESS, help="module:name of the Projections (env: REFOLD_PROJECTIONS_APP)")
    return parser


def _locate(projection: Projection, table: str, parts: list[Any]) -> Address:
    columns = next(each.key for each in projection.tables if each.name == table)
    return parse_address(projection, [f"{name}={value}" for name, value in zip(columns, parts, strict=True)], table)


async def _why(arguments: argparse.Namespace, output: Output) -> int:
    projection = _find_projection(arguments)
    address = parse_address(projection, arguments.key, arguments.table)
    async with opened_engine("refold replay why") as engine:
        async with checkout(engine) as connection:
            known = await list_generations(connection, projection.name)
        generation = find_generation(known, arguments.generation) if arguments.generation else require_live(known, projection)
        explainer = Explainer(projection, generation, engine, KafkaSettings(), reveal=arguments.reveal)
        [origin] = await explainer.explain([address])
    facts = {"projection": projection.name, "generation": generation.number, "events": len(origin.causes), **asdict(origin)}
    shown = origin.causes[-arguments.last :] if arguments.last else origin.causes
    facts["causes"] = [asdict(each) for each in shown]
    output.result(facts, "\n".join(_tell(address, generation, origin, shown)))
    if origin.agrees is False:
        raise VerificationFailed(
            f"{address}: {generation} holds another row than its events give. It was changed by hand, or a handler isn't deterministic. "
            f"Mend it with `replay repair --projection {projection.name} {' '.join(arguments.key)}`."
        )
    return 0


def _tell(address: Address, generation: Generation, origin: Origin, shown: list[Cause]) -> list[str]:
    lines = [f"{address} of {generation} ({generation.state}): {len(origin.causes):,} events"]
    lines += _list_causes(shown, "  ")
    for each in origin.joins:
        lines += _tell_join(each)
    if origin.joins:
        lines.append(f"  together  {_inline(origin.folded)}")
    there = origin.causes or origin.stored
    verdict = {
        True: "the same row is stored" if there else "no event ever reached this row, and none is stored",
        False: f"ANOTHER ROW IS STORED: {_inline(origin.stored)}",
        None: f"{origin.obstacle}; it holds {_inline(origin.stored)}",
    }
    return [*lines, f"  {verdict[origin.agrees]}"]


def _list_causes(causes: Sequence[Cause], margin: str) -> list[str]:
    lines: list[str] = []
    for each in causes:
        where = f"{each.topic}[{each.partition}]@{each.offset}"
        what = f"{each.stream}/{each.version} {each.type}" if each.stream else "change"
        lines.append(f"{margin}{where}  {each.time or '-'}  {what}  {_inline(each.data)}")
        lines.append(f"{margin}    {each.effect} by {each.handler}  ->  {_inline(each.row)}")
    return lines


def _tell_join(join: Complement) -> list[str]:
    """Say which version a join took, what made it, and what came of it."""
    lines = [f"  joined with {join.past} by {_inline(join.on)}: {join.note or 'the version that held then'}"]
    if join.key is not None:
        lines.append(f"    {_inline(join.key)}  (until {join.until or 'now'})")
        lines += _list_causes(join.causes, "    ")
    elif join.until is not None:
        lines.append(f"    the first one holds from {join.until}")
    if join.aside:
        lines += ["    these would decide, and have no effect:", *_list_causes(join.aside, "    ")]
    given = "nothing" if join.gives is None else _inline(join.gives)
    return [*lines, f"    gives {given} by {join.function}"]


async def _diff(arguments: argparse.Namespace, output: Output) -> int:
    projection = _find_projection(arguments)
    async with opened_engine("refold replay diff") as engine:
        async with checkout(engine) as connection:
            known = await list_generations(connection, projection.name)
        pair = find_generation(known, arguments.left), find_generation(known, arguments.right)
        found = await contrast(projection, engine, pair, samples=arguments.samples, wait_s=arguments.wait)
        samples = {
            (table.table, str(sample["key"])): _locate(projection, table.table, sample["key"])
            for table in found.report.tables
            for sample in table.samples
        }
        explainer = Explainer(projection, found.right, engine, KafkaSettings(), reveal=arguments.reveal)
        origins = await explainer.explain(list(samples.values())) if samples else []
        explained = dict(zip(samples, origins, strict=True))
        async with checkout(engine) as connection:
            sinks = {str(each): await describe_copies(connection, each) for each in pair}
    facts = {
        "projection": projection.name,
        "left": found.left.number,
        "right": found.right.number,
        "apart": found.apart,
        **found.report.facts(),
        "why": [asdict(each) for each in explained.values()],
        "sinks": sinks,
    }
    del facts["failed_checks"]
    lines = [
        f"  {name} {each['sink']}: {each['rows']} rows, {each['state']}" for name, copies in sinks.items() for each in copies
    ]
    output.result(facts, "\n".join([*_compose(found, explained), *lines]))
    return 0


async def _repair(arguments: argparse.Namespace, output: Output) -> int:
    app = _find_app(arguments)
    projection = app.named(arguments.projection)
    address = parse_address(projection, arguments.key, arguments.table) if arguments.key else None
    since = parse_time(arguments.since) if arguments.since else None
    if arguments.type:
        require_kind(projection, arguments.type)
    selection = Selection(address, arguments.type, since)
    async with opened_engine("refold replay repair") as engine, operating(engine, projection.name):
        async with checkout(engine) as connection:
            known = await list_generations(connection, projection.name)
        generation = find_generation(known, arguments.generation) if arguments.generation else require_live(known, projection)
        repair = Repair(projection, generation, engine, KafkaSettings())
        done = await repair.mend(selection, samples=arguments.samples, dry_run=arguments.dry_run)
    after = list_downstream(app, projection) if done.untold else []
    rebuild = compose_rebuilds([projection.name, *after]) if after else []
    facts = {"projection": projection.name, "generation": generation.number, "dry_run": arguments.dry_run, **asdict(done)}
    facts |= {"downstream": after, "rebuild": rebuild}
    lines = _sum_up(selection, generation, done, dry_run=arguments.dry_run)
    if after:
        lines.append(
            f"  {', '.join(after)} {'read' if len(after) > 1 else 'reads'} what followed from these rows, which stays as it was published. "
            f"To derive it anew run {', then '.join(f'`{each}`' for each in rebuild)}"
        )
    output.result(facts, "\n".join(lines))
    return 0


def _sum_up(selection: Selection, generation: Generation, done: Outcome, *, dry_run: bool) -> list[str]:
    were = "would be" if dry_run else "were"
    said = f"{done.changed:,} {were} changed, {done.created:,} made, {done.deleted:,} deleted"
    past = f", {done.versions:,} of them versions that joins take," if done.versions else ""
    late = f"; {done.completed:,} other rows {were} completed from mended versions" if done.completed else ""
    lines = [f"{selection} of {generation}: {done.rows:,} rows{past} folded from {done.events:,} events; {said}{late}"]
    return lines + [f"  {each['row']}: {_inline(each['before'])}  ->  {_inline(each['after'])}" for each in done.samples]


def _compose(found: Contrast, explained: dict[tuple[str, str], Origin]) -> list[str]:
    level = "at one vector" if found.is_level else f"NOT at one vector, rows may differ for that alone: {found.apart}"
    lines = [f"{found.left} ({found.left.state}) and {found.right} ({found.right.state}), {level}"]
    for table in found.report.tables:
        lines.append(f"  {_count(table)}")
        for sample in table.samples:
            origin = explained[table.table, str(sample["key"])]
            lines.append(f"    {sample['key']}: g{found.left.number} {_inline(sample['live'])}")
            lines.append(f"      g{found.right.number} {_inline(sample['new'])}")
            lines.extend(
                f"      {each.topic}[{each.partition}]@{each.offset} {each.type or 'change'} {_inline(each.data)} {each.effect}"
                for each in origin.causes[-3:]
            )
            for join in origin.joins:
                lines += [f"    {each}" for each in _tell_join(join)]
    return lines


def _count(table: TableReport) -> str:
    if table.equal or not table.differences:
        return str(table)
    return (
        f"{table.table}: {table.live_rows:,} and {table.new_rows:,} rows, {table.changed:,} differ, {table.only_live:,} only here, "
        f"{table.only_new:,} only there{table.shared}"
    )


def _inline(values: Any) -> str:
    if values is None:
        return "no row"
    if not isinstance(values, dict):
        return str(values)
    shown = {str(name): value.isoformat() if isinstance(value, datetime) else repr(value) for name, value in values.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return " ".join(f"{name}={text}" for name, text in shown.items())


def _find_app(arguments: argparse.Namespace) -> Projections:
    return require_app(getattr(arguments, "app", None), ProjectionSettings())


def _find_projection(arguments: argparse.Namespace) -> Projection:
    return _find_app(arguments).named(arguments.projection)


def require_live(known: list[Generation], projection: Projection) -> Generation:
    """Give the live generation of *known*. Raises PreconditionFailed without one."""
    live = next((each for each in known if each.state is State.LIVE), None)
    if live is None:
        raise PreconditionFailed(f"no generation of {projection.name} is live: start `projections run`, or say --generation")
    return live
