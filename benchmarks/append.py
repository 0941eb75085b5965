"""Append speed, side by side: refold, pgbench's bare insert as the ceiling, and PyPI's eventsourcing, in turns on one server.

Our loop is uvloop's, as in our programs.

    python -m benchmarks.append [--rounds 3] [--seconds 3] [--events 200000]

Server: the one that `refold up` started, or REFOLD_POSTGRES_DSN. A scratch database is made and dropped.
"""

import argparse
import asyncio
import json
import statistics
import sys

import uvloop

from benchmarks.ceiling import measure_inserts
from benchmarks.ground import run_module
from eventstore import bench
from eventstore.postgres.engine import open_engine
from eventstore.postgres.scratch import make_scratch
from eventstore.postgres.store import PostgresEventStore
from eventstore.settings import PostgresSettings

LOADS = {"1 task": (1, 1), "8 tasks": (8, 1), "64 tasks": (64, 1), "1 task, tens": (1, 10), "1 task, hundreds": (1, 100)}
PEER = {"1": "eventsourcing, 1 at a time", "10": "eventsourcing, tens", "100": "eventsourcing, hundreds"}


async def measure_round(settings: PostgresSettings, seconds: float, count: int) -> dict[str, float]:
    """Measure everybody once; a store is made anew for each load, so that none has another's connections."""
    dsn, rates = settings.dsn.get_secret_value(), dict[str, float]()
    for clients in (1, 8):
        rates[f"pgbench, {clients} clients"] = await asyncio.to_thread(measure_inserts, dsn, clients, max(1, round(seconds)))
    for name, (tasks, batch) in LOADS.items():
        engine = open_engine(settings)
        store = PostgresEventStore(engine, settings, bench.events)
        await bench.measure_appends(store, tasks=tasks, batch=batch, seconds=0.3)
        rates[f"refold, {name}"] = (await bench.measure_appends(store, tasks=tasks, batch=batch, seconds=seconds)).rate
        await engine.dispose()
    engine = open_engine(settings)
    store = PostgresEventStore(engine, settings, bench.events)
    rates["refold, import"] = (await bench.measure_import(store, count)).rate
    rates["read a stream of 1000, ms"] = (await bench.measure_stream(store)).median_s * 1_000
    await engine.dispose()
    peer = await asyncio.to_thread(run_module, "benchmarks.peer_append", dsn, str(seconds))
    return {**rates, **{name: peer[batch] for batch, name in PEER.items()}}


async def measure(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Take turns, so that a slow moment of the machine meets everyone."""
    rates: dict[str, list[float]] = {}
    async with make_scratch() as settings:
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
            for name, rate in (await measure_round(settings, arguments.seconds, arguments.events)).items():
                rates.setdefault(name, []).append(rate)
    return rates


def show(rates: dict[str, list[float]]) -> str:
    """Lay the medians out, and the ratios that matter."""
    median = {name: statistics.median(each) for name, each in rates.items()}
    lines = [f"{'append':<34}{'events/s':>12}", *(f"{name:<34}{rate:>12,.1f}" for name, rate in median.items())]
    tasks = median["refold, 64 tasks"]
    lines += [
        f"64 tasks / eventsourcing 1 at a time: {tasks / median['eventsourcing, 1 at a time']:.1f}",
        f"64 tasks / pgbench 8 clients: {tasks / median['pgbench, 8 clients']:.2f}",
        f"hundreds / eventsourcing's hundreds: {median['refold, 1 task, hundreds'] / median['eventsourcing, hundreds']:.1f}",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each load")
    parser.add_argument("--events", type=int, default=200_000, help="to import")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rates = uvloop.run(measure(arguments))
    print(json.dumps(rates) if arguments.json else show(rates))


if __name__ == "__main__":
    main()
