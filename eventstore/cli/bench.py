"""`eventstore bench`: measure this store on this machine, in a scratch database."""

from __future__ import annotations

import argparse
from typing import Any

from eventstore.cli.program import add_command
from eventstore.console import Output


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    text = "Measure appends, import and reads in a scratch database on the same server, which is dropped at the end."
    parser = add_command(commands, "bench", text, bench)
    parser.add_argument("--seconds", metavar="S", type=float, default=2.0, help="seconds for each kind of append (2)")
    parser.add_argument("--events", metavar="N", type=int, default=100_000, help="events to import (100000)")


async def bench(arguments: argparse.Namespace, output: Output) -> int:
    """Measure, and print a line each."""
    from eventstore import bench as loops
    from eventstore.postgres.engine import open_engine
    from eventstore.postgres.scratch import make_scratch
    from eventstore.postgres.store import PostgresEventStore

    found: dict[str, loops.Measured] = {}
    async with make_scratch() as settings:
        engine = open_engine(settings, application="eventstore bench")
        store = PostgresEventStore(engine, settings, loops.events)
        try:
            for tasks, batch in ((1, 1), (8, 1), (64, 1), (1, 10), (1, 100)):
                output.progress(f"appends of {batch} by {tasks}")
                name = f"append {batch} by {tasks} at once"
                found[name] = await loops.measure_appends(store, tasks=tasks, batch=batch, seconds=arguments.seconds)
            output.progress(f"import of {arguments.events}, then reads")
            found["import"] = await loops.measure_import(store, arguments.events)
            found["read a stream of 1000"] = await loops.measure_stream(store)
            found["read all in order"] = await loops.measure_order(store)
        finally:
            await engine.dispose()
    output.result({name: each._asdict() for name, each in found.items()}, _table(found))
    return 0


def _table(found: dict[str, Any]) -> str:
    lines = [f"{'':<24}{'events/s':>12}{'median ms':>12}{'p99 ms':>10}"]
    lines += [
        f"{name:<24}{each.rate:>12,.0f}{each.median_s * 1_000:>12.2f}{each.p99_s * 1_000:>10.2f}" for name, each in found.items()
    ]
    return "\n".join(lines)
