"""Replay speed, side by side: refold, a bare aiokafka + orjson loop, and PyPI's eventsourcing, on the same servers in one run.

    python -m benchmarks.replay [--events 1000000] [--peer-events 20000] [--rounds 3]

Servers: those that `refold up` started, or the ones that REFOLD_* name. A database and topics of its own are made and dropped.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.accounts import make_events
from eventstore.log.admin import Admin
from eventstore.postgres import migrate
from eventstore.postgres.engine import open_engine
from eventstore.postgres.store import PostgresEventStore
from eventstore.relay.relay import Relay
from eventstore.settings import KafkaSettings, PostgresSettings

ROOT = Path(__file__).resolve().parent.parent


def child(*command: str) -> dict[str, float]:
    """Run a measurement in a process of its own and read its JSON."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


async def fill(count: int) -> dict[str, float]:
    """Import *count* events and relay them, and give both rates."""
    engine = open_engine()
    await migrate.migrate(engine)
    started = time.perf_counter()
    async with PostgresEventStore.open(engine=engine) as store:
        await store.import_events(make_events(count))
    imported = time.perf_counter()
    await Relay(engine).drain()
    ended = time.perf_counter()
    await engine.dispose()
    return {"import": count / (imported - started), "relay": count / (ended - imported)}


def measure(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Take turns, so that a slow moment of the machine meets everyone."""
    kafka, dsn = KafkaSettings(), PostgresSettings().dsn.get_secret_value()
    rates: dict[str, list[float]] = {"bare loop": [], "balances": [], "ledger": [], "journal": [], "eventsourcing": []}
    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
        rates["bare loop"].append(
            child("-m", "benchmarks.bare", kafka.bootstrap, kafka.events_topic, str(kafka.partitions))["rate"]
        )
        for name in ("balances", "ledger", "journal"):
            replay = ("-m", "replay.cli", "--app", "benchmarks.accounts:app", "--projection", name, "--from-beginning", "--json")
            rates[name].append(child(*replay, "--accept-differences")["rate"])
        if not number:
            rates["eventsourcing"].append(child("-m", "benchmarks.peer", dsn, str(arguments.peer_events))["rate"])
    return rates


def show(rates: dict[str, list[float]]) -> str:
    """Lay the medians out as a table of ratios."""
    median = {name: statistics.median(each) for name, each in rates.items()}
    lines = [f"{'replay':<42}{'events/s':>12}{'/ bare loop':>13}{'/ eventsourcing':>17}"]
    texts = {
        "bare loop": "bare aiokafka + orjson loop, no writes",
        "balances": "refold, per-key balances",
        "ledger": "refold, one row per event, added",
        "journal": "refold, one row per event, changeable",
        "eventsourcing": "eventsourcing 9.5.6, ProjectionRunner",
    }
    for name, text in texts.items():
        bare, peer = median[name] / median["bare loop"], median[name] / median["eventsourcing"]
        lines.append(f"{text:<42}{median[name]:>12,.0f}{bare:>13.2f}{peer:>17.1f}")
    return "\n".join(lines)


def main() -> None:
    """Make a database and topics, measure, print, drop them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--peer-events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    name = f"refold_bench_{uuid.uuid4().hex[:8]}"
    given = PostgresSettings().dsn.get_secret_value()
    with psycopg.connect(given, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    os.environ["REFOLD_POSTGRES_DSN"] = given.rpartition("/")[0] + f"/{name}"
    os.environ["REFOLD_KAFKA_TOPIC_PREFIX"] = name
    os.environ["REFOLD_REPLAY_HANDOVER_S"] = "0"
    try:
        filled = asyncio.run(fill(arguments.events))
        rates = measure(arguments)
    finally:
        asyncio.run(clean())
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    print(json.dumps({**filled, **rates}) if arguments.json else show(rates))
    print(f"import {filled['import']:,.0f} events/s, relay {filled['relay']:,.0f} events/s", file=sys.stderr)


async def clean() -> None:
    """Drop the topics of this run."""
    kafka = KafkaSettings()
    async with Admin.open(kafka) as admin:
        await admin.delete_topics([kafka.events_topic])


if __name__ == "__main__":
    main()
