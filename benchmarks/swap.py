"""Swaps under load: what readers notice of them, and whether any of them sees half of one.

    python -m benchmarks.swap [--swaps 1000] [--rate 200] [--readers 4] [--json]

Events come in all the time and go through relay, Kafka and workers, which feed two generations; readers read both tables every 50 ms,
first without swaps, then while the two take turns in being live. Ends with exit code 1 if any read was half, wrong or older than before.
Servers: those that `refold up` started, or the ones that REFOLD_* name. A database and topics of its own are made and dropped.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from typing import Any

from benchmarks import ground
from benchmarks.targets import Target, show
from benchmarks.transfers import app, percentiles, running, serve, start
from benchmarks.turns import mark_rows, reading, swap_times
from eventstore.postgres import migrate, open_engine
from eventstore.postgres.store import PostgresEventStore
from projections.serving import ReadModels


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure reads without swaps, then with them."""
    engine = open_engine()
    await migrate.migrate(engine)
    models = ReadModels(engine, app)
    worker = ("projections", "run", "--app", "benchmarks.transfers:app")
    async with PostgresEventStore.open(engine=engine) as store, running(start("eventstore", "relay"), start(*worker)):
        await serve(store, models)
        await asyncio.to_thread(ground.replay, "transfers", app="benchmarks.transfers:app")
        await mark_rows(engine)
        async with running(start("benchmarks.transfers", "--rate", str(arguments.rate))):
            await swap_times(engine, 5)
            async with reading(models, arguments.readers) as calm:
                await asyncio.sleep(arguments.seconds)
            began = time.perf_counter()
            async with reading(models, arguments.readers) as seen:
                held = await swap_times(engine, arguments.swaps)
            took = time.perf_counter() - began
    await engine.dispose()
    return {
        "reads without swaps, ms": percentiles(calm.times),
        "reads while swapping, ms": percentiles(seen.times),
        "writers held, ms": percentiles(held),
        "swaps": arguments.swaps,
        "swaps a second": arguments.swaps / took,
        "reads": len(seen.times),
        "half reads": seen.half + calm.half,
        "back in time": seen.back + calm.back,
        "errors": seen.errors + calm.errors,
        "generations": sorted(seen.generations),
    }


def list_targets(found: dict[str, Any]) -> list[Target]:
    """Give what is promised, as *found*."""
    wrong = [Target(name, len(found[name]), 0) for name in ("half reads", "back in time", "errors")]
    return [Target("a read while swapping, ms, p99", found["reads while swapping, ms"]["p99"], 50), *wrong]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0, help="of reading without swaps")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with ground.opened_ground():
        os.environ["REFOLD_PROJECTIONS_LOOK_S"] = "0.2"
        found = asyncio.run(measure(arguments))
    targets = list_targets(found)
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            told = ", ".join(f"{key} {each:.1f}" for key, each in value.items()) if isinstance(value, dict) else value
            print(f"{name:28} {told[:5] if isinstance(told, list) else told}")
        print(show(targets))
    if not all(each.is_met for each in targets[1:]):
        sys.exit(1)


if __name__ == "__main__":
    main()
