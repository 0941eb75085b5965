"""`cdc bench`: how long a change takes from its commit to its row in a read model, on these servers.

Everything is real and made for the occasion: a scratch database on the store's server, with two tables and the read models of them, a
connector of its own, topics of its own. All of it is gone at the end. It lies here, and not in `cdc`, because it feeds projections.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from cdc import CapturedTable, Change
from cdc.apply import apply_connector, read_plan
from cdc.bench import measure_decoding
from cdc.connect.client import ConnectClient
from cdc.connect.config import find_names
from cdc.connect.declaration import Connector
from cdc.connect.secret import refer_file
from cdc.steer import Target, teardown_connector
from eventstore.console import Output, add_json, tune_collector
from eventstore.errors import TimedOut
from eventstore.log.admin import Admin
from eventstore.postgres.engine import checkout, open_engine
from eventstore.postgres.scratch import make_scratch
from eventstore.postgres.statements import load
from eventstore.settings import KafkaSettings, PostgresSettings
from projections import Projection, Projections
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings

_HERE = "replay"
_TABLES = ("public.bench_flight", "public.bench_pulse")
_LOOK_S = 0.002
_AIMS = {"p50_ms": 80.0, "p99_ms": 250.0, "rows_s": 15_000.0, "with_schema_s": 80_000.0, "plan_s": 2.0}


@dataclass(slots=True)
class Flight:
    """A row as it is captured."""

    id: int
    carrier: str | None
    flight: int | None
    origin: str | None
    destination: str | None
    departs: datetime | None
    day: date | None
    price: Decimal | None
    distance: float | None
    cancelled: bool | None


@dataclass(slots=True)
class Pulse:
    """A row whose way is timed."""

    id: int
    carrier: str | None
    price: Decimal | None
    at: datetime | None


def keep_flight(change: Change, _: Flight | None) -> Flight | None:
    """Keep the row as it is."""
    return None if change.after is None else Flight(**change.after)


def keep_pulse(change: Change, _: Pulse | None) -> Pulse | None:
    """Keep the row as it is."""
    return None if change.after is None else Pulse(**change.after)


def make_app() -> Projections:
    """Make the read models."""
    projection = Projection("cdc-bench")
    projection.table(Flight, key="id").on_change(CapturedTable("bench", _TABLES[0]))(keep_flight)
    projection.table(Pulse, key="id").on_change(CapturedTable("bench", _TABLES[1]))(keep_pulse)
    return Projections(projection)


def declare(commands: Any) -> None:
    """Add the command."""
    text = "measure commit to row in a read model, an initial snapshot, decoding and planning, in a scratch database"
    parser: argparse.ArgumentParser = commands.add_parser("bench", help=text, description=text)
    parser.set_defaults(command=_bench)
    add_json(parser)
    parser.add_argument("--rate", type=float, default=200.0, metavar="N", help="changes a second, each its own commit (200)")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="seconds at that rate (10)")
    parser.add_argument("--rows", type=int, default=200_000, metavar="N", help="rows of the initial snapshot (200000)")
    parser.add_argument("--timeout", type=float, default=180.0, metavar="S", help="seconds for the snapshot (180)")


async def _bench(arguments: argparse.Namespace, output: Output) -> int:
    found: dict[str, dict[str, float]] = {}
    output.progress("decoding")
    found["decode"] = {
        "with_schema_s": measure_decoding(with_schema=True),
        "declared_s": measure_decoding(with_schema=False),
    }
    tune_collector()
    async with make_scratch() as settings:
        engine = open_engine(settings, application="cdc bench")
        try:
            await Stopwatch(engine, settings, output).run(arguments, found)
        finally:
            await engine.dispose()
    output.result(found, describe(found))
    return 0


class Stopwatch:
    """One run over a scratch database."""

    def __init__(self, engine: AsyncEngine, settings: PostgresSettings, output: Output) -> None:
        self._engine = engine
        self._dsn = settings.dsn.get_secret_value()
        self._output = output
        own = f"{KafkaSettings().topic_prefix}-bench-{uuid.uuid4().hex[:8]}"
        self._kafka = KafkaSettings().model_copy(update={"topic_prefix": own})

    async def run(self, arguments: argparse.Namespace, found: dict[str, dict[str, float]]) -> None:
        """Fill the tables, capture them, and measure."""
        await self._do("bench_flight")
        await self._do("bench_pulse")
        await self._do("bench_fill", rows=arguments.rows)
        with tempfile.TemporaryDirectory() as folder:
            connector = await self._declare(Path(folder))
            self._output.progress("planning")
            began = time.perf_counter()
            await read_plan(connector, kafka=self._kafka)
            found["plan"] = {"plan_s": time.perf_counter() - began}
            try:
                self._output.progress(f"a snapshot of {arguments.rows:,} rows")
                async with self._captured(connector) as began:
                    found["snapshot"] = await self._await_rows(arguments.rows, began, arguments.timeout)
                    self._output.progress(f"{arguments.rate:g} changes a second for {arguments.seconds:g} s")
                    found["latency"] = await self._time_changes(arguments.rate, arguments.seconds)
            finally:
                await self._clear(connector)

    async def _declare(self, folder: Path) -> Connector:
        """Declare the connector; its password goes into a file that the Connect worker reads, if there is one."""
        async with checkout(self._engine) as connection:
            info = connection.info
            password, user, host, port, name = info.password, info.user, info.host, info.port, info.dbname
        reference = await asyncio.to_thread(_keep_secret, folder, password) if password else None
        whose = f"{user}:{password}" if password else user
        return Connector("bench", f"postgresql://{whose}@{host}:{port}/{name}", _TABLES, password=reference)

    @asynccontextmanager
    async def _captured(self, connector: Connector) -> AsyncGenerator[float]:
        """Capture and fold meanwhile; gives the moment at which that was asked for."""
        began, stop = time.perf_counter(), asyncio.Event()
        applying = asyncio.create_task(apply_connector(connector, kafka=self._kafka))
        try:
            async with Admin.open(self._kafka) as admin:
                for each in (CapturedTable("bench", table).topic(self._kafka) for table in _TABLES):
                    await admin.wait_visible(each)
            supervisor = Supervisor(make_app(), self._engine, kafka=self._kafka, settings=ProjectionSettings())
            feeding = asyncio.create_task(supervisor.run(stop))
            try:
                yield began
                await applying
            finally:
                stop.set()
                await feeding
        finally:
            await asyncio.gather(applying, return_exceptions=True)

    async def _await_rows(self, rows: int, began: float, timeout_s: float) -> dict[str, float]:
        """Wait until the whole snapshot is in the read model."""
        first = 0.0
        while True:
            count = await self._count()
            now = time.perf_counter()
            first = first or (now if count else 0.0)
            if count >= rows:
                return {
                    "rows": rows,
                    "seconds": now - began,
                    "rows_s": rows / (now - began),
                    "from_first_row_s": rows / max(now - first, 0.001),
                }
            if now - began > timeout_s:
                raise TimedOut(f"{count:,} of {rows:,} rows came within {timeout_s:g} s: see `cdc doctor`, and --timeout")
            await asyncio.sleep(0.05)

    async def _count(self) -> int:
        async with checkout(self._engine) as connection:
            if await (await connection.execute(load(_HERE, "bench_made"))).fetchone() != (True,):
                return 0
            row = await (await connection.execute(load(_HERE, "bench_count"))).fetchone()
        return row[0] if row else 0

    async def _time_changes(self, rate: float, seconds: float) -> dict[str, float]:
        """Commit changes at *rate*, and see when each is there."""
        count = int(rate * seconds)
        committed: dict[int, float] = {}
        writing = asyncio.create_task(self._write(count, rate, committed))
        taken: list[float] = []
        try:
            async with asyncio.timeout(seconds + 60):
                await self._watch(count, committed, taken)
        except TimeoutError:
            raise TimedOut(f"{len(taken)} of {count} changes arrived within {seconds + 60:g} s") from None
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        ordered = sorted(each * 1000 for each in taken[len(taken) // 10 :])  # the first tenth warms up
        return {
            "rate": rate,
            "changes": count,
            "p50_ms": statistics.median(ordered),
            "p99_ms": ordered[int(len(ordered) * 0.99)],
            "worst_ms": ordered[-1],
        }

    async def _write(self, count: int, rate: float, committed: dict[int, float]) -> None:
        statement = load(_HERE, "bench_beat")
        async with checkout(self._engine) as connection:
            began = time.perf_counter()
            for number in range(1, count + 1):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                await connection.execute(statement, {"id": number})
                committed[number] = time.perf_counter()

    async def _watch(self, count: int, committed: dict[int, float], taken: list[float]) -> None:
        """Note for each change how long after its commit it was seen."""
        statement, after = load(_HERE, "bench_seen"), 0
        async with checkout(self._engine) as connection:
            while after < count:
                rows = await (await connection.execute(statement, {"after": after})).fetchall()
                now = time.perf_counter()
                for (number,) in rows:
                    taken.append(max(0.0, now - committed.get(number, now)))
                    after = number
                await asyncio.sleep(_LOOK_S)

    async def _do(self, statement: str, **values: object) -> None:
        async with checkout(self._engine) as connection:
            await connection.execute(load(_HERE, statement), values or None)

    async def _clear(self, connector: Connector) -> None:
        """Take away connector, slot, publication and topics."""
        names = find_names(connector, self._kafka)
        target = Target(names.connector, names.slot, self._dsn)
        async with ConnectClient() as connect:
            await teardown_connector(connect, target, time.monotonic() + 60, lambda _: None)
        async with Admin.open(self._kafka) as admin:
            await admin.delete_topics(await admin.topics())


def _keep_secret(folder: Path, password: str) -> str:
    """Write the password where the worker, who may be another user, can read it for as long as the run takes."""
    folder.chmod(0o755)
    file = folder / "password"
    file.write_text(password, encoding="utf-8")
    return refer_file(file)


def describe(found: dict[str, dict[str, float]]) -> str:
    """Give a line for each figure, with what is aimed at."""
    snapshot, latency, decode = found["snapshot"], found["latency"], found["decode"]
    lines = (
        ("commit to row, median", f"{latency['p50_ms']:,.0f} ms at {latency['rate']:g}/s", f"below {_AIMS['p50_ms']:g} ms"),
        ("commit to row, 99 of 100", f"{latency['p99_ms']:,.0f} ms", f"below {_AIMS['p99_ms']:g} ms"),
        ("snapshot, start to last row", f"{snapshot['rows_s']:,.0f} rows/s", f"at least {_AIMS['rows_s']:,.0f}"),
        ("snapshot, from the first row", f"{snapshot['from_first_row_s']:,.0f} rows/s", ""),
        ("decoding, one core", f"{decode['with_schema_s']:,.0f} changes/s", f"at least {_AIMS['with_schema_s']:,.0f}"),
        ("planning", f"{found['plan']['plan_s']:.2f} s", f"below {_AIMS['plan_s']:g} s"),
    )
    return "\n".join(f"{name:<30}{value:>22}   {aim}" for name, value, aim in lines)
