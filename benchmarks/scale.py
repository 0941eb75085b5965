"""How the time and memory of a rebuild grow: with events, with keys, and with generations; measured, printed, and drawn as an SVG.

    python -m benchmarks.scale [--most 7] [--draw docs/rebuilds.svg]

A topic is filled up to each power of ten and rebuilt into balances of 10^4 keys; the largest also of 10^3, 10^5 and 10^6 keys, looking at
the memory of the process all the while; and a small one again and again, so that generations gather. Memory must stay below 1 GiB and
must not grow with events. Servers: those that `refold up` started, or the ones that REFOLD_* name. All that is made is dropped.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import ground
from benchmarks.accounts import Balance, MoneyMoved
from projections import Projection, Projections

ACCOUNTS = 1_000_000
SIZES = (5, 6, 7)
KEYS = (3, 4, 5, 6)
USUAL = 4
GENERATIONS = 16
MOST_MIB = 1024
POINTS = 200


def make_projection(name: str, digits: int = USUAL) -> Projection:
    """Make balances of the last *digits* of the accounts' numbers."""
    made = Projection(name, version=1)
    table = made.table(Balance, key="account")

    def book(moved: MoneyMoved, row: Balance | None) -> Balance:
        row = row or Balance(moved.account[-digits:])
        row.cents += moved.cents
        row.bookings += 1
        return row

    table.on(MoneyMoved, key=lambda moved: moved.account[-digits:])(book)
    return made


app = Projections(
    make_projection("again"),
    *(make_projection(f"events-{power}") for power in SIZES),
    *(make_projection(f"keys-{digits}", digits) for digits in KEYS),
)


@dataclass
class Found:
    """Microseconds an event by events and by keys, seconds of a rebuild by generation, and (records done, MiB) by keys."""

    events: dict[int, float] = field(default_factory=dict)
    keys: dict[int, float] = field(default_factory=dict)
    generations: list[float] = field(default_factory=list)
    memory: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    peaks: dict[int, float] = field(default_factory=dict)


def rebuild(name: str) -> ground.Course:
    """Rebuild a projection from offset zero."""
    return ground.follow(*ground.name_replay(name, app="benchmarks.scale:app"))


def measure(most: int) -> Found:
    """Fill up to each power of ten and measure there; every build is the first of its projection, so it reads all that there is."""
    found, filled = Found(), 0
    for power in (each for each in SIZES if each <= most):
        rate = asyncio.run(ground.publish(filled, 10**power, ACCOUNTS))
        filled = 10**power
        print(f"{filled:>10,} events (written at {rate:,.0f}/s)", file=sys.stderr, flush=True)
        found.events[filled] = rebuild(f"events-{power}").facts["build_s"] / filled * 1e6
        if power == SIZES[0]:
            found.generations = [rebuild("again").facts["seconds"] for _ in range(GENERATIONS)]
    for digits in KEYS:
        course = rebuild(f"keys-{digits}")
        found.memory[10**digits], found.peaks[10**digits] = course.samples, course.peak
        found.keys[10**digits] = took = course.facts["build_s"] / filled * 1e6
        print(f"{10**digits:>10,} keys: {took:.2f} us an event, at most {course.peak:,.0f} MiB", file=sys.stderr, flush=True)
    return found


def draw(found: Found, path: Path) -> None:
    """Draw the four, each over what it may grow with."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "refold", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, ((events, keys), (generations, memory)) = plt.subplots(2, 2, figsize=(8, 6))
    _plot(events, found.events, xscale="log", xlabel="events (10,000 keys)", ylabel="µs an event")
    _plot(keys, found.keys, xscale="log", xlabel=f"keys ({max(found.events):,} events)", ylabel="µs an event")
    numbered = dict(enumerate(found.generations, 1))
    _plot(generations, numbered, xlabel="generation (100,000 events)", ylabel="seconds, swap included")
    for count, every in sorted(found.memory.items()):
        samples = every[:: len(every) // POINTS + 1]
        memory.plot([done / 1e6 for done, _ in samples], [mib for _, mib in samples], label=f"{count:,} keys")
    memory.set(xlabel="million events folded", ylabel="MiB of the process", ylim=(0, MOST_MIB))
    memory.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    metadata: dict[str, Any] = {"Date": None, "Creator": None}
    figure.savefig(path, metadata=metadata)


def _plot(axes: Any, points: dict[int, float], **labels: Any) -> None:
    axes.plot(list(points), list(points.values()), marker="o")
    axes.set(ylim=(0, max(points.values()) * 1.2), **labels)
    axes.grid(visible=True, which="major", alpha=0.3)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=7, help="the last power of ten")
    parser.add_argument("--draw", type=Path, help="an SVG file to write")
    arguments = parser.parse_args()
    with ground.opened_ground():
        asyncio.run(ground.make_tables())
        found = measure(arguments.most)
    print(json.dumps({**asdict(found), "memory": None}))
    if arguments.draw:
        draw(found, arguments.draw)
    if max(found.peaks.values()) > MOST_MIB:
        sys.exit(f"more than {MOST_MIB} MiB: {found.peaks}")


if __name__ == "__main__":
    main()
