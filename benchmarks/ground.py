"""What every benchmark stands on: a database and topics of its own, filled with events, and measurements in processes of their own."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.accounts import ACCOUNTS, make_events
from eventstore.log.admin import Admin
from eventstore.postgres import migrate
from eventstore.postgres.engine import open_engine
from eventstore.postgres.store import PostgresEventStore
from eventstore.relay.relay import Relay
from eventstore.settings import KafkaSettings, PostgresSettings

ROOT = Path(__file__).resolve().parent.parent


def child(*command: str) -> dict[str, Any]:
    """Run a program to its end and read the JSON of its last line; `peak_mb` is the most memory that it had, in MiB."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{' '.join(command)[-300:]} failed:\n{said[-2000:]}\n{errors.read()[-4000:]}")
    return {**json.loads(said.strip().splitlines()[-1]), "peak_mb": usage.ru_maxrss / 1024}


def run_module(name: str, *arguments: str) -> dict[str, Any]:
    """Run a module of ours as a program, and read what it measured."""
    return child(sys.executable, "-m", name, *arguments)


def replay(projection: str, *arguments: str) -> dict[str, Any]:
    """Rebuild *projection* of the accounts from offset zero, and give the facts of the run."""
    chosen = ("--app", "benchmarks.accounts:app", "--projection", projection, "--json", "--accept-differences")
    origin = () if "--from-archive" in arguments else ("--from-beginning",)
    return run_module("replay.cli", *chosen, *origin, *arguments)


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


async def fill(count: int, accounts: int = ACCOUNTS, begin: int = 0) -> dict[str, float]:
    """Import events number *begin* to *count*, relay them, and give both rates."""
    engine = open_engine()
    await migrate.migrate(engine)
    started = time.perf_counter()
    async with PostgresEventStore.open(engine=engine) as store:
        await store.import_events(make_events(count, accounts, begin))
    imported = time.perf_counter()
    await Relay(engine).drain()
    ended = time.perf_counter()
    await engine.dispose()
    return {"import": (count - begin) / (imported - started), "relay": (count - begin) / (ended - imported)}


async def drop_topics() -> None:
    """Drop the topics of this run, and those that peers made beside them."""
    kafka = KafkaSettings()
    async with Admin.open(kafka) as admin:
        await admin.delete_topics([each for each in await admin._client.list_topics() if kafka.topic_prefix in each])
