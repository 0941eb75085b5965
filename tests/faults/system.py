"""The whole way of an event under a fault: writers, store, relay, log, worker, read model; and what the checker is told of it.

A test starts the load, lets its fault loose, heals, and calls `finish`, which waits until every sink has caught up and gives
the report. Times are real, the servers are real; only the machine is one.
"""

import asyncio
import os
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import KafkaSettings
from eventstore.postgres import PostgresEventStore, migrate, open_engine
from eventstore.relay import Relay
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.faults.checker import Report, examine
from tests.faults.clusters import Cluster
from tests.faults.operations import Operation, Recorder, count_bites, load
from tests.faults.records import read_records
from tests.faults.tally import app
from tests.faults.writer import Writer
from tests.stack.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
QUICK = ProjectionSettings(look_s=0.1, poll_s=0.05)
ROWS = """SELECT t.stream, t.echo, t.moves, t.total, t.low, t.high, t.versions FROM {schema}.tally AS t ORDER BY 1"""
FED = "SELECT g.number, g.schema_name FROM projections.generation AS g WHERE g.state IN ('live', 'retired') ORDER BY g.state"


class System:
    """One run of everything on *cluster* and *kafka*, with its history in a file."""

    def __init__(self, cluster: Cluster, kafka: KafkaSettings, history: Path, seed: int) -> None:
        self.cluster = cluster
        self.kafka = kafka
        self.history = history
        self.chance = random.Random(seed)
        self.recorder = Recorder(history, "test")
        self.relay: Relay | None = None
        self._counted = 0, 0
        self._asking = threading.Lock()
        self._connection: psycopg.Connection[tuple] | None = None
        self._stop_writers, self._stop = asyncio.Event(), asyncio.Event()
        self._writers: list[asyncio.Task[None]] = []
        self._others: list[asyncio.Task[object]] = []
        print(f"seed {seed}")  # a failing run is repeated with it

    @asynccontextmanager
    async def running(self, writers: int = 4, aborts: float = 0.1, *, worker: bool = True) -> AsyncIterator[None]:
        """Run the writers (so many, who roll back a share of *aborts*), the relay and, unless it runs elsewhere, the worker."""
        engines = {name: open_engine(self.cluster.settings, application=name) for name in ("writer", "relay", "worker")}
        try:
            await migrate.migrate(engines["writer"])
            async with PostgresEventStore.open(self.cluster.settings, engine=engines["writer"]) as store:
                await self._start(store, engines["relay"], writers, aborts)
                if worker:
                    await self._work(engines["worker"])
                yield
        finally:
            self._stop_writers.set()
            self._stop.set()
            await asyncio.gather(*self._writers, *self._others, return_exceptions=True)
            for each in engines.values():
                await each.dispose()
            if self._connection is not None:
                self._connection.close()

    async def _start(self, store: PostgresEventStore, relay: AsyncEngine, writers: int, aborts: float) -> None:
        self.relay = Relay(relay, self.kafka)
        self._others.append(asyncio.create_task(self.relay.run(self._stop)))
        for each in range(writers):
            writer = Writer(store, self.history, f"writer-{each}", self._stop_writers)
            self._writers.append(asyncio.create_task(writer.run(aborts=aborts)))
        await self.written(20)
        await eventually(self._published, "the first published events", 60)

    async def _work(self, engine: AsyncEngine) -> None:
        worker = Supervisor(app, engine, kafka=self.kafka, settings=QUICK)
        self._others.append(asyncio.create_task(worker.run(self._stop)))
        await eventually(lambda: self._rows_are(1), "the first rows", 60)

    async def _published(self) -> bool:
        self.check()
        return self.relay is not None and self.relay.progress.published > 0

    def check(self) -> None:
        """Raise what ended a part of the system that should run on."""
        for each in (*self._writers, *self._others):
            if each.done():
                each.result()

    def environment(self, **more: str) -> dict[str, str]:
        """Give the environment of a child process that works on the same database and log."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "REFOLD_POSTGRES_DSN": self.cluster.dsn,
            "REFOLD_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "REFOLD_KAFKA_TOPIC_PREFIX": self.kafka.topic_prefix,
            "REFOLD_KAFKA_PARTITIONS": str(self.kafka.partitions),
            "REFOLD_PROJECTIONS_APP": "tests.faults.tally:app",
            "REFOLD_PROJECTIONS_POLL_S": "0.05",
            "REFOLD_REPLAY_HANDOVER_S": "0",
            **more,
        }

    def acknowledged(self) -> int:
        """Count the appends that were acknowledged so far; only what is new in the history is read."""
        with self.history.open("rb") as lines:
            lines.seek(self._counted[0])
            fresh = [each for each in lines.readlines() if each.endswith(b"\n")]
        appends = sum(b'"type":"ok","f":"append"' in each for each in fresh)
        self._counted = self._counted[0] + sum(map(len, fresh)), self._counted[1] + appends
        return self._counted[1]

    async def written(self, more: int, timeout_s: float = 60.0) -> None:
        """Return once *more* appends than now are acknowledged."""
        goal = self.acknowledged() + more

        async def enough() -> bool:
            self.check()
            return self.acknowledged() >= goal

        await eventually(enough, f"{more} more acknowledged appends", timeout_s)

    async def bitten(self, fault: str) -> None:
        """Return once somebody has noted an effect of *fault*."""

        async def is_noted() -> bool:
            self.check()
            return count_bites(load(self.history))[fault] > 0

        await eventually(is_noted, f"an effect of {fault}")

    async def finish(self, timeout_s: float = 60.0) -> tuple[Report, list[Operation]]:
        """End the writers, wait for relay and worker to catch up, look at log and rows, and check everything."""
        self._stop_writers.set()
        await asyncio.gather(*self._writers)
        [(total,)] = await asyncio.to_thread(self.cluster.query, "SELECT count(*) FROM eventstore.event")
        await eventually(lambda: self._rows_are(total), f"a read model of {total} events", timeout_s)
        self.check()
        await self._tell_log()
        await self._tell_rows()
        self.recorder.close()
        operations = load(self.history)
        return examine(operations), operations

    async def _rows_are(self, events: int) -> bool:
        self.check()
        try:
            fed = await asyncio.to_thread(self._fed)
            counts = [sum(row[2] for row in await asyncio.to_thread(self._rows, schema)) for _, schema in fed]
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return False
        return bool(counts) and min(counts) >= events

    def _fed(self) -> list[tuple[int, str]]:
        """List the generations that are kept current, as number and schema, the live one first."""
        return self._ask(FED)

    def _rows(self, schema: str | None = None) -> list[tuple]:
        """Give the rows in *schema* (None = those of the live generation)."""
        return self._ask(ROWS.format(schema=schema or (self._fed() or [(0, "nowhere")])[0][1]))

    def _ask(self, statement: str) -> list[tuple]:
        """Give the rows of *statement*, over one connection as long as it lasts: tests ask fifty times a second."""
        with self._asking:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self.cluster.dsn, autocommit=True)
            try:
                return self._connection.execute(statement).fetchall()
            except psycopg.OperationalError:
                self._connection.close()
                raise

    async def _tell_log(self) -> None:
        for each in await read_records(self.kafka):
            self.recorder.note(
                "ok", "publish", stream=each["subject"], version=each["streamversion"], event_id=each["id"],
                partition=each["partition"], offset=each["offset"], key=each["subject"], value=each["data"]["amount"],
            )  # fmt: skip
        self.recorder.note("ok", "caught_up")

    async def _tell_rows(self) -> None:
        found = self.cluster.query("SELECT stream, version, event_id::text FROM eventstore.event")
        ids = {(stream, version): event for stream, version, event in found}
        for number, schema in self._fed():
            about = {"projection": "tally", "pversion": number}
            for stream, echo, moves, total, low, high, versions in self._rows(schema):
                for version in versions:
                    event = ids.get((stream, version), "nothing")
                    self.recorder.note("ok", "project", stream=stream, version=version, event_id=event, **about)
                value = {"echo": echo, "count": moves, "sum": total, "min": low, "max": high}
                self.recorder.note("ok", "aggregate", key=stream, value=value, **about)
            self.recorder.note("ok", "caught_up", **about)
