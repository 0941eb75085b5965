"""What every benchmark stands on: a database and topics of its own, filled with events, and measurements in processes of their own."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.accounts import ACCOUNTS, make_events
from eventstore.codec import encode
from eventstore.envelope import NewEvent
from eventstore.event import fields_of
from eventstore.log.admin import Admin
from eventstore.log.partitioner import partition_of
from eventstore.log.producer import Entry, TransactionalProducer
from eventstore.log.topics import ensure_events_topic
from eventstore.log.wire import compose
from eventstore.postgres import migrate
from eventstore.postgres.engine import open_engine
from eventstore.postgres.store import PostgresEventStore
from eventstore.relay.relay import Relay
from eventstore.settings import KafkaSettings, PostgresSettings

ROOT = Path(__file__).resolve().parent.parent
PAGE = 20_000
TIME = '"2026-01-01T00:00:00.000000+00:00"'


@dataclass
class Course:
    """How a program ran: the JSON of its last line, its processor seconds, its start and its own children included, and the memory in
    MiB that it had (*peak*; *samples* with the records done)."""

    facts: dict[str, Any] = field(default_factory=dict)
    cpu_s: float = 0.0
    peak: float = 0.0
    samples: list[tuple[int, float]] = field(default_factory=list)


def follow(*command: str) -> Course:
    """Run a program to its end, and look at its memory ten times a second. Its progress, JSON on stderr, says the records done."""
    course, lines, done = Course(), deque[str](maxlen=40), [0]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None

        def listen(stream: Iterable[str]) -> None:
            for line in stream:
                lines.append(line)
                if line.startswith('{"progress":"build"'):
                    done[0] = json.loads(line).get("done", done[0])

        listener = threading.Thread(target=listen, args=(process.stderr,))
        listener.start()
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            course.samples.append((done[0], _look(process.pid)))
            time.sleep(0.1)
        listener.join()
        process.stderr.close()
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        output.seek(0)
        said = output.read().strip().splitlines()
    if process.returncode:
        sys.exit(f"{' '.join(command)[-300:]} failed:\n{''.join(said[-20:])}\n{''.join(lines)}")
    usage = ended[2]
    course.facts, course.peak, course.cpu_s = json.loads(said[-1]), usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime
    return course


def _look(pid: int) -> float:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def child(*command: str) -> dict[str, Any]:
    """Run a program to its end and read the JSON of its last line; `peak_mb` is the most memory that it had, `cpu_s` its processor time."""
    course = follow(*command)
    return {**course.facts, "peak_mb": course.peak, "cpu_s": course.cpu_s}


def run_module(name: str, *arguments: str) -> dict[str, Any]:
    """Run a module of ours as a program, and read what it measured."""
    return child(sys.executable, "-m", name, *arguments)


def replay(projection: str, *arguments: str, app: str = "benchmarks.accounts:app") -> dict[str, Any]:
    """Rebuild *projection* from offset zero, or from an archive, and give the facts of the run."""
    return child(*name_replay(projection, *arguments, app=app))


def name_replay(projection: str, *arguments: str, app: str) -> tuple[str, ...]:
    """Give the command of a rebuild."""
    origin = () if "--from-archive" in arguments else ("--from-beginning",)
    chosen = ("--app", app, "--projection", projection, "--json", "--accept-differences", *origin)
    return (sys.executable, "-m", "replay.cli", *chosen, *arguments)


def connect(dsn: str | None = None) -> "psycopg.Connection[Any]":
    """Connect to the benchmark's database, or to *dsn*."""
    return psycopg.connect(dsn or PostgresSettings().dsn.get_secret_value(), autocommit=True)


@contextmanager
def opened_ground() -> Iterator[str]:
    """Make a database and a prefix of topics, let the environment name them, give the prefix; all is dropped in the end."""
    name, given = f"refold_bench_{uuid.uuid4().hex[:8]}", PostgresSettings().dsn.get_secret_value()
    before = dict(os.environ)
    with connect(given) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    os.environ["REFOLD_POSTGRES_DSN"] = given.rpartition("/")[0] + f"/{name}"
    os.environ["REFOLD_KAFKA_TOPIC_PREFIX"] = name
    os.environ["REFOLD_REPLAY_HANDOVER_S"] = "0"
    try:
        yield name
    finally:
        asyncio.run(drop_topics())
        os.environ.clear()
        os.environ.update(before)
        with connect(given) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


async def make_tables() -> None:
    """Make the tables of the catalogue, for what reads a topic alone."""
    engine = open_engine()
    await migrate.migrate(engine)
    await engine.dispose()


async def fill(count: int, accounts: int = ACCOUNTS, begin: int = 0) -> dict[str, float]:
    """Import events number *begin* to *count*, relay them, and give both rates."""
    engine = open_engine()
    await migrate.migrate(engine)
    started = time.perf_counter()
    async with PostgresEventStore.open(engine=engine) as store:
        await store.import_events(make_events(count, accounts, begin))
    imported = time.perf_counter()
    progress = await Relay(engine).drain()
    if progress.published < count - begin:
        sys.exit(
            f"only {progress.published} of {count - begin} events can be read yet: see what holds readers back by `eventstore doctor`"
        )
    ended = time.perf_counter()
    await engine.dispose()
    return {"import": (count - begin) / (imported - started), "relay": (count - begin) / (ended - imported)}


async def publish(begin: int, end: int, accounts: int) -> float:
    """Write events number *begin* to *end* into the topic alone, as the relay would, and give the rate: the store takes much longer."""
    kafka, started = KafkaSettings(), time.perf_counter()
    await ensure_events_topic(kafka)
    producer = TransactionalProducer(kafka, kafka.events_topic, f"{kafka.topic_prefix}.publish")
    await producer.start()
    entries = (
        _make_entry(number, stream, new, kafka.partitions)
        for number, (stream, new) in enumerate(make_events(end, accounts, begin), begin)
    )
    while page := list(islice(entries, PAGE)):
        await producer.publish(page)
    await producer.close()
    return (end - begin) / (time.perf_counter() - started)


def _make_entry(number: int, stream: str, new: NewEvent, partitions: int) -> Entry:
    data = encode(fields_of(new.event)).decode()
    place = (stream, number + 1, 1_000 + number // PAGE, number + 1)
    row = (*place, str(new.id), "bench-money-moved", 1, data, "{}", TIME, TIME, None)
    return partition_of(stream, partitions), stream.encode(), compose(row, "refold"), 1_767_225_600_000


async def drop_topics() -> None:
    """Drop the topics of this run, and those that peers made beside them."""
    kafka = KafkaSettings()
    async with Admin.open(kafka) as admin:
        await admin.delete_topics([each for each in await admin._client.list_topics() if kafka.topic_prefix in each])
