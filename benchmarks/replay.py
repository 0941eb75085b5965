"""Rebuilds, side by side on the same servers in one run: refold, a bare consuming loop, Kafka Streams, Quix Streams, eventsourcing.

    python -m benchmarks.replay [--events 2000000] [--rounds 3] [--quix-events 200000] [--peer-events 20000]

All fold the same topic into a balance per key, but for `eventsourcing`, which has no log and reads as many events of its own store. What
a peer needs is fetched on the first run: the jars of Kafka Streams by checksum, Quix Streams into a venv of its own. Peers are timed from
their first record to their last commit; refold from the start of the run, tables, keys and indexes included. The sums that they come
to must be equal.

Servers: those that `refold up` started, or the ones that REFOLD_* name. A database and topics of its own are made and dropped.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import ground
from benchmarks.peers import quix
from benchmarks.peers.streams import Streams
from compose.settings import StackSettings
from eventstore.settings import KafkaSettings, PostgresSettings

Measure = Callable[[], dict[str, Any]]
TEXTS = {
    "bare": "bare aiokafka + orjson loop, no writes",
    "balances": "refold, a balance per key",
    "balances, two": "refold, a balance per key, two processes",
    "ledger": "refold, one row per event, added",
    "journal": "refold, one row per event, changeable",
    "streams": "Kafka Streams, 2 threads, at least once",
    "streams, once": "Kafka Streams, 2 threads, exactly once",
    "quix": "Quix Streams, at least once",
    "eventsourcing": "eventsourcing, ProjectionRunner",
}
TARGETS = (
    ("balances", "eventsourcing", 80.0),
    ("balances", "quix", 5.0),
    ("balances", "streams", 1.5),
    ("balances", "bare", 1.0),
    ("balances, two", "balances", 1.3),
    ("ledger", "bare", 0.5),
)


def list_ways(arguments: argparse.Namespace, folder: Path) -> dict[str, Measure]:
    """Give what is measured in every round, by name."""
    kafka, dsn = KafkaSettings(), PostgresSettings().dsn.get_secret_value()
    topic, partitions = kafka.events_topic, str(kafka.partitions)
    ways: dict[str, Measure] = {
        "bare": lambda: ground.run_module("benchmarks.bare", kafka.bootstrap, topic, partitions),
        "balances": lambda: ground.replay("balances"),
        "balances, two": lambda: ground.replay("balances", "--processes", "2"),
        "ledger": lambda: ground.replay("ledger"),
        "journal": lambda: ground.replay("journal"),
    }
    if arguments.peers:
        streams = Streams(folder)
        quix.make_python(StackSettings().cache)
        ways |= {
            "streams": lambda: streams.measure(kafka.bootstrap, topic, arguments.events, exactly_once=False),
            "streams, once": lambda: streams.measure(kafka.bootstrap, topic, arguments.events, exactly_once=True),
            "quix": lambda: quix.measure(kafka.bootstrap, topic, arguments.quix_events),
            "eventsourcing": lambda: ground.run_module("benchmarks.peers.sourcing", dsn, str(arguments.peer_events)),
        }
    return ways


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Take turns, so that a slow moment of the machine meets everyone; the slowest two in the first round alone."""
    ways = list_ways(arguments, folder)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for number in range(arguments.rounds):
        for name, run in ways.items():
            if not number or name not in {"quix", "eventsourcing"}:
                found[name].append(run())
                print(f"round {number + 1}: {name} {found[name][-1]['rate']:,.0f}/s", file=sys.stderr, flush=True)
    check_sums(found, arguments)
    return found


def check_sums(found: dict[str, list[dict[str, Any]]], arguments: argparse.Namespace) -> None:
    """Refuse figures of folds that do not come to the same."""
    with ground.connect() as connection:
        query = "SELECT sum(cents)::bigint FROM rm_balances_g{}.balance"
        sums = {
            name: connection.execute(query.format(found[name][-1]["generation"])).fetchone()
            for name in ("balances", "balances, two")
        }
    wanted = found["bare"][0]["cents"]
    sums = {name: row[0] for name, row in sums.items() if row}
    whole = [name for name in ("streams", "streams, once", "quix") if name in found]
    sums |= {name: found[name][0]["cents"] for name in whole if name != "quix" or arguments.quix_events == arguments.events}
    if any(each != wanted for each in sums.values()):
        sys.exit(f"the folds differ: {sums}, and the events come to {wanted}")


def show(found: dict[str, list[dict[str, Any]]]) -> str:
    """Lay the medians out as a table of ratios, and say which targets are met."""
    median = {name: statistics.median(each["rate"] for each in runs) for name, runs in found.items()}
    peers = [each for each in ("bare", "streams", "quix", "eventsourcing") if each in found]
    lines = ["".join([f"{'rebuild':<42}{'events/s':>10}{'CPU s':>7}{'MiB':>6}", *(f"{'/ ' + each:>17}" for each in peers)])]
    for name, runs in found.items():
        memory, worked = max(each["peak_mb"] for each in runs), statistics.median(each["cpu_s"] for each in runs)
        ratios = "".join(f"{median[name] / median[each]:>17.2f}" for each in peers)
        lines.append(f"{TEXTS[name]:<42}{median[name]:>10,.0f}{worked:>7.1f}{memory:>6,.0f}{ratios}")
    for name, peer, least in TARGETS:
        if peer in median:
            ratio = median[name] / median[peer]
            lines.append(f"{'met' if ratio >= least else 'MISSED':<8}{name} / {peer}: {ratio:.2f}, wanted {least:g}")
    return "\n".join(lines)


def write_rows(found: dict[str, list[dict[str, Any]]]) -> str:
    """Give the rows of the table in docs/explanation/rebuild-costs.md."""
    median = {name: statistics.median(each["rate"] for each in runs) for name, runs in found.items()}
    return "\n".join(f"| {TEXTS[name]} | {_round(rate):,} | {rate / median['bare']:.3g} |" for name, rate in median.items())


def _round(rate: float) -> int:
    """Keep three digits: more would say more than was measured."""
    return int(float(f"{rate:.3g}"))


def main() -> None:
    """Make a database and topics, measure, print, drop them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--quix-events", type=int, default=200_000, help="the first so many events; its rate is even")
    parser.add_argument("--peer-events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="refold and the bare loop alone")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", action="store_true", help="also print the rows of the table in the documentation")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ground.opened_ground():
        filled = asyncio.run(ground.fill(arguments.events))
        found = measure(arguments, Path(folder))
    print(json.dumps({**filled, **found}) if arguments.json else show(found))
    if arguments.rows:
        print(write_rows(found))
    print(f"import {filled['import']:,.0f} events/s, relay {filled['relay']:,.0f} events/s", file=sys.stderr)


if __name__ == "__main__":
    main()
