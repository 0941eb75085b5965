"""How appending and reading cost grows with the store, from 10^4 events to 10^7: measured, printed, and drawn as an SVG.

    python -m benchmarks.growth [--most 7] [--draw docs/growth.svg]

Flat but for the depth of the indexes is what should be seen. A scratch database is made and dropped (about 7 GB at 10^7).
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eventstore import bench
from eventstore.postgres.engine import checkout, open_engine
from eventstore.postgres.scratch import make_scratch
from eventstore.postgres.store import PostgresEventStore
from eventstore.stream import Position

LABELS = {
    "append_ms": "append of one event, median",
    "append_64_ms": "append of one event by 64 tasks, per event",
    "batch_ms": "append of a hundred, median",
    "stream_ms": "read of a stream of 1,000, median",
    "page_ms": "ordered page of 1,000 from the middle, median",
}


def make_pairs(start: int, end: int) -> Iterator[tuple[str, object]]:
    """Make events number *start* to *end* in streams of a hundred."""
    for number in range(start, end):
        yield f"growth-{number // 100}", bench.make_event(number)


async def measure_page(store: PostgresEventStore, middle: Position) -> float:
    """Read 1,000 events after *middle* in order, fifty times; give the median in milliseconds."""
    times: list[float] = []
    for _ in range(50):
        began = time.perf_counter()
        count = 0
        async for _ in store.read_all(middle, limit=1_000):
            count += 1
        assert count == 1_000
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1_000


async def measure_size(store: PostgresEventStore, middle: Position) -> dict[str, float]:
    """Measure every kind of access at the store's present size."""
    async with checkout(store.engine) as connection:
        await connection.execute("VACUUM (ANALYZE) eventstore.event")
        await connection.execute("CHECKPOINT")
    await bench.measure_appends(store, tasks=64, seconds=0.5)
    single = await bench.measure_appends(store, tasks=1, seconds=2)
    grouped = await bench.measure_appends(store, tasks=64, seconds=2)
    batch = await bench.measure_appends(store, tasks=1, batch=100, seconds=2)
    return {
        "append_ms": single.median_s * 1_000,
        "append_64_ms": 1_000 / grouped.rate,
        "batch_ms": batch.median_s * 1_000,
        "stream_ms": (await bench.measure_stream(store)).median_s * 1_000,
        "page_ms": await measure_page(store, middle),
    }


async def measure(most: int) -> dict[int, dict[str, float]]:
    """Fill up to each power of ten and measure there."""
    found: dict[int, dict[str, float]] = {}
    filled = 0
    async with make_scratch() as settings:
        engine = open_engine(settings)
        store = PostgresEventStore(engine, settings, bench.events)
        for size in (10**power for power in range(4, most + 1)):
            middle = await store.head()
            await store.import_events(make_pairs(filled, size))
            filled = size
            found[size] = await measure_size(store, middle)
            print(f"{size:>10,}", {name: round(value, 3) for name, value in found[size].items()}, file=sys.stderr, flush=True)
        await engine.dispose()
    return found


def draw(found: dict[int, dict[str, float]], path: Path) -> None:
    """Draw every kind of access over the store's size, both axes logarithmic."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "refold", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(figsize=(7, 4))
    for name, label in LABELS.items():
        axes.plot(list(found), [found[size][name] for size in found], marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="events in the store", ylabel="milliseconds")
    axes.grid(visible=True, which="major", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.86))
    metadata: dict[str, Any] = {"Date": None, "Creator": None}
    figure.savefig(path, metadata=metadata)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=7, help="the last power of ten")
    parser.add_argument("--draw", type=Path, help="an SVG file to write")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.most))
    print(json.dumps(found))
    if arguments.draw:
        draw(found, arguments.draw)


if __name__ == "__main__":
    main()
