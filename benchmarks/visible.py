"""From append to visible: how long until what was recorded can be read, in stages, and beside a rebuild.

    python -m benchmarks.visible [--rate 300] [--seconds 10] [--events 600000] [--json]

Events are appended one at a time; relay, worker and writer are processes of their own. Twenty times a second a probe appends one event and
waits for its token as a web app does: `record` is the append, `log` until a consumer of the topic has it, `visible` until a session
does, each from the call of append. Then the same while the read model is rebuilt from all events so far.
Servers: those that `refold up` started, or the ones that REFOLD_* name. A database and topics of its own are made and dropped.
"""

import argparse
import asyncio
import json
import os
import random
from typing import Any

from benchmarks import ground
from benchmarks.probes import follow, follow_for
from benchmarks.targets import Target, show
from benchmarks.transfers import app, make_any, percentiles, running, serve, start
from eventstore.postgres import migrate, open_engine
from eventstore.postgres.store import PostgresEventStore
from projections.serving import ReadModels

APP = "benchmarks.transfers:app"


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure in peace, then beside a rebuild, then in peace again."""
    engine = open_engine()
    await migrate.migrate(engine)
    models = ReadModels(engine, app)
    async with PostgresEventStore.open(engine=engine) as store:
        chance = random.Random(1)
        await store.import_events(make_any(number, chance) for number in range(arguments.events))
        worker = ("projections", "run", "--app", APP)
        async with running(start("eventstore", "relay"), start(*worker)):
            await serve(store, models)
            async with running(start("benchmarks.transfers", "--rate", str(arguments.rate))):
                await follow_for(store, models, 2)
                before = await follow_for(store, models, arguments.seconds)
                until = asyncio.Event()
                beside = asyncio.create_task(follow(store, models, until))
                rebuilt = await asyncio.to_thread(ground.replay, "transfers", app=APP)
                until.set()
                during = await beside
                after = await follow_for(store, models, arguments.seconds)
    await engine.dispose()
    usual = percentiles(before.visible + after.visible)
    return {
        "before, ms": before.facts(),
        "beside a rebuild, ms": during.facts(),
        "after, ms": after.facts(),
        "in peace, ms": {"visible": usual},
        "beside / in peace": {name: during.facts()["visible"][name] / usual[name] for name in ("p50", "p99")},
        "rebuild, events/s": rebuilt["rate"],
        "rebuild, seconds": rebuilt["seconds"],
    }


def list_targets(found: dict[str, Any]) -> list[Target]:
    """Give what is promised, as *found*."""
    beside = found["beside / in peace"]
    return [
        Target("appended to visible, ms, p99", found["in peace, ms"]["visible"]["p99"], 150),
        *(Target(f"appended to visible beside a rebuild, to that in peace, {each}", beside[each], 2) for each in ("p50", "p99")),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with ground.opened_ground():
        os.environ.pop("REFOLD_REPLAY_HANDOVER_S")  # as people run it: the replay feeds what it made live until a worker does
        found = asyncio.run(measure(arguments))
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        if not isinstance(value, dict):
            print(f"{name:22} {value:,.1f}")
            continue
        for stage, each in value.items():
            told = ", ".join(f"{key} {one:.1f}" for key, one in each.items()) if isinstance(each, dict) else f"{each:.2f}"
            print(f"{name:22} {stage:8} {told}")
    print(show(list_targets(found)))


if __name__ == "__main__":
    main()
