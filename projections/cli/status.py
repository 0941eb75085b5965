"""`projections status`: lag, rates and owners, partition by partition, from the checkpoints and the log alone; and the sinks.

It asks nobody's worker, so it also tells of workers that are gone. Rates are the difference of two looks.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any, NamedTuple

from eventstore.console import Output
from eventstore.log.bounds import find_bounds
from eventstore.log.consumer import Partition
from eventstore.postgres.engine import Connection, checkout
from eventstore.settings import KafkaSettings
from projections.cli.program import add_command, add_projection, list_partitions, opened_engine, table
from projections.control.catalogue import require_generations
from projections.control.checkpoint import Standing, read_owners
from projections.control.generation import FED, Generation, State
from projections.control.outbox import read_stands
from projections.control.parking import count_parked, list_drift
from projections.copies import describe_copies
from projections.feeding.deriving import find_derived

SHOWN = FED | {State.BUILDING, State.CAUGHT_UP, State.VERIFIED}
SILENT_S = 5.0
"""Seconds without a word after which an owner is called silent; it says something every second."""
Fact = dict[str, Any]


class Look(NamedTuple):
    """Where a generation and its log stood at one moment."""

    at: float
    standing: dict[Partition, Standing]
    ends: dict[Partition, int]


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    text = "show lag, rates and owners of every partition, and where sinks stand"
    parser = add_command(commands, "status", text, _status)
    add_projection(parser)
    parser.add_argument("--interval", metavar="S", type=float, default=1.0, help="seconds between the two looks of the rates (1)")


async def _status(arguments: argparse.Namespace, output: Output) -> int:
    async with opened_engine("refold projections status") as engine, checkout(engine) as connection:
        every = await require_generations(connection, arguments.projection)
        known = [each for each in every if each.state in SHOWN]
        before = [await _look(connection, each) for each in known]
        await asyncio.sleep(arguments.interval)
        facts: list[Fact] = [
            {
                **describe(each, first, await _look(connection, each)),
                "parked": await count_parked(connection, each.id),
                "drift": await list_drift(connection, each.id),
                "sinks": await describe_copies(connection, each),
                "derived": await _describe_derived(connection, each),
            }
            for each, first in zip(known, before, strict=True)
        ]
    shown = [[_flatten(each, row) for each in facts for row in each[part]] for part in ("partitions", "sinks")]
    drifted = "\n".join(f"{each['projection']} g{each['generation']}: {why}" for each in facts for why in each["drift"])
    derived = "\n".join(
        f"{each['projection']} g{each['generation']}: {_tell(each['derived'])}" for each in facts if each["derived"]
    )
    texts = [*(table(rows) for rows in shown if rows), *(each for each in (drifted, derived) if each)]
    output.result(facts, "\n\n".join(texts) or table([]))
    return 0


def _flatten(fact: Fact, row: Fact) -> Fact:
    return {"generation": f"{fact['projection']} g{fact['generation']}", **row}


async def _describe_derived(connection: Connection, generation: Generation) -> Fact | None:
    """Say how much *generation* derived, and how much of that waits for its way into the log; None = it derives nothing."""
    topic = find_derived(generation)
    if topic is None:
        return None
    stands = (await read_stands(connection, generation.id)).values()
    return {"topic": topic, "events": sum(each.number for each in stands), "waiting": sum(each.waiting for each in stands)}


def _tell(derived: Fact) -> str:
    return f"{derived['events']:,} events derived, {derived['waiting']:,} of them on their way into {derived['topic']}"


async def _look(connection: Connection, generation: Generation) -> Look:
    standing = await read_owners(connection, generation.id)
    _, ends = await find_bounds(KafkaSettings(), list_partitions(generation))
    return Look(time.monotonic(), standing, ends)


def describe(generation: Generation, first: Look, second: Look) -> Fact:
    """Give the facts of *generation* from two looks at it. Pure."""
    seconds = max(second.at - first.at, 1e-6)
    partitions: list[Fact] = [_describe_partition(each, first, second, seconds) for each in sorted(second.ends)]
    lag, applied, came = (sum(each[name] for each in partitions) for name in ("lag", "applied_per_s", "came_per_s"))
    gain = applied - came
    return {
        "projection": generation.projection,
        "generation": generation.number,
        "state": str(generation.state),
        "lag": lag,
        "applied_per_s": round(applied, 1),
        "came_per_s": round(came, 1),
        "current_in_s": 0.0 if not lag else round(lag / gain, 1) if gain > 0 else None,
        "owners": sorted({each["owner"] for each in partitions if each["owner"]}),
        "partitions": partitions,
    }


def _describe_partition(partition: Partition, first: Look, second: Look, seconds: float) -> Fact:
    now, before = second.standing.get(partition), first.standing.get(partition)
    end = second.ends[partition]
    seen = now.seen_offset if now else 0
    return {
        "topic": partition[0],
        "partition": partition[1],
        "lag": max(0, end - seen),
        "next_offset": now.next_offset if now else 0,
        "end": end,
        "applied_per_s": round((seen - (before.seen_offset if before else 0)) / seconds, 1),
        "came_per_s": round((end - first.ends.get(partition, end)) / seconds, 1),
        "owner": now.owner if now else None,
        "epoch": now.epoch if now else 0,
        "silent_s": round(now.age_s, 1) if now and now.age_s > SILENT_S else None,
    }
