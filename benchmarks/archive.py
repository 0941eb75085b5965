"""Rebuilds from an archive against rebuilds from Kafka: the same events, servers and process count, in one run.

    python -m benchmarks.archive [--events 3000000] [--rounds 3]

`handlers`: per-key balances by a handler of their own. `declared`: the same rows as aggregates. `detailed`: a minimum, a maximum, a last
value and a count of different values beside them, in the first round alone. From Kafka all are folded event by event; from the archive
the declared ones by columns. Servers: those that `refold up` started, or the ones that REFOLD_* name. All that is made is dropped.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from typing import Any

from benchmarks import ground
from benchmarks.accounts import ACCOUNTS
from eventstore.archive.archiver import Archiver
from eventstore.archive.audit import survey
from eventstore.archive.place import Place
from eventstore.archive.settings import ArchiveSettings
from eventstore.settings import KafkaSettings

WAYS = (
    ("handlers, Kafka", "balances", False),
    ("handlers, archive", "balances", True),
    ("declared, Kafka", "declared", False),
    ("declared, archive", "declared", True),
    ("detailed, Kafka", "detailed", False),
    ("detailed, archive", "detailed", True),
)
LEAST = 10.0


async def fill_archive(url: str) -> dict[str, float]:
    """Archive the topic, and give the rate and the bytes of a record."""
    kafka = KafkaSettings()
    archiver = Archiver(kafka.events_topic, Place(url), kafka, ArchiveSettings(), lambda *_: None)
    started = time.perf_counter()
    await archiver.drain()
    size = sum(each.bytes for each in survey(Place(url), kafka.events_topic))
    return {"archive": archiver.records / (time.perf_counter() - started), "bytes": size / archiver.records}


def measure(url: str, rounds: int) -> dict[str, list[float]]:
    """Take turns, so that a slow moment of the machine meets everyone."""
    rates: dict[str, list[float]] = {name: [] for name, _, _ in WAYS}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for name, projection, archived in WAYS[: 4 if number else None]:
            rates[name].append(ground.replay(projection, *(("--from-archive", url) if archived else ()))["rate"])
            print(f"  {name} {rates[name][-1]:,}/s", file=sys.stderr, flush=True)
    return rates


def show(rates: dict[str, list[float]]) -> str:
    """Lay the medians out, each beside the same rows from Kafka and beside handlers from Kafka."""
    median = {name: statistics.median(each) for name, each in rates.items()}
    lines = [f"{'rebuild':<24}{'events/s':>12}{'/ itself, Kafka':>17}{'/ handlers, Kafka':>19}"]
    for name, _, _ in WAYS:
        own = median[name] / median[f"{name.partition(',')[0]}, Kafka"]
        lines.append(f"{name:<24}{median[name]:>12,.0f}{own:>17.2f}{median[name] / median['handlers, Kafka']:>19.2f}")
    ratio = median["declared, archive"] / median["handlers, Kafka"]
    lines.append(f"{'met' if ratio >= LEAST else 'MISSED':<8}declared, archive / handlers, Kafka: {ratio:.2f}, wanted {LEAST:g}")
    return "\n".join(lines)


def write_rows(rates: dict[str, list[float]]) -> str:
    """Give the rows of the table in docs/explanation/rebuild-costs.md."""
    median = {name: statistics.median(each) for name, each in rates.items()}
    return "\n".join(
        f"| {name} | {int(float(f'{rate:.3g}')):,} | {rate / median['handlers, Kafka']:.3g} |" for name, rate in median.items()
    )


def main() -> None:
    """Make a database, topics and a directory, measure, print, drop them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", action="store_true", help="also print the rows of the table in the documentation")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as url, ground.opened_ground():
        asyncio.run(ground.make_tables())
        asyncio.run(ground.publish(0, arguments.events, ACCOUNTS))
        facts: dict[str, Any] = asyncio.run(fill_archive(url))
        rates = measure(url, arguments.rounds)
    print(json.dumps(facts | rates) if arguments.json else show(rates))
    if arguments.rows:
        print(write_rows(rates))
    print(f"archived {facts['archive']:,.0f} records/s, {facts['bytes']:.0f} bytes a record", file=sys.stderr)


if __name__ == "__main__":
    main()
