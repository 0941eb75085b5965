"""A captured database under a fault: a writer, the connector, the read models, `cdc recover`; and what the checker is told of it."""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr

from cdc.cli import main
from eventstore import KafkaSettings, PostgresSettings
from eventstore.postgres import migrate, open_engine
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.faults.checker import Report, examine
from tests.faults.operations import Operation, Recorder, load
from tests.shop.tally import PAYMENTS, SCHEMA, app
from tests.stack.waiting import eventually

QUICK = ProjectionSettings(look_s=0.1, poll_s=0.05)
ACCOUNTS = 3
ROOT = Path(__file__).resolve().parent.parent.parent


class Captured:
    """The source at *dsn*, its read models in the database at *home*, and the connector that is declared in *folder*."""

    def __init__(self, dsn: str, home: str, kafka: KafkaSettings, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.dsn, self.home, self.kafka, self.folder = dsn, home, kafka, folder
        self.recorder = Recorder(folder / "history.jsonl", "payer")
        self.numbers = dict.fromkeys(range(ACCOUNTS), 0)
        self._capsys, self._chance = capsys, random.Random(7)

    @property
    def slot(self) -> str:
        """What the connector's slot is called."""
        return f"{self.kafka.topic_prefix}_operations"

    @property
    def topic(self) -> str:
        """Where payments go."""
        return PAYMENTS.topic(self.kafka)

    def query(self, statement: str, *values: object) -> list[tuple]:
        """Run one statement in the source and give its rows."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def declare(self, dsn: str = "", options: str = "") -> Path:
        """Write the connector's declaration, for the server at *dsn* when it has moved."""
        self.dsn = dsn or self.dsn
        given = psycopg.conninfo.conninfo_to_dict(self.dsn)
        password = ""
        if given.get("password"):
            (self.folder / "password").write_text(str(given["password"]), "utf-8")
            password = 'password_file = "password"\n'
        path = self.folder / "operations.toml"
        address = f"postgresql://{given['user']}@{given['host']}:{given['port']}/{given['dbname']}"
        tables = '["public.payment", "public.price"]'
        path.write_text(
            f'[connector]\nname = "operations"\ndsn = "{address}"\ntables = {tables}\n{password}[options]\n{options}\n', "utf-8"
        )
        return path

    async def prepare(self) -> None:
        """Make the tables, with prices in them, and the catalogue of read models."""
        for each in SCHEMA:
            self.query(each)
        self.query("INSERT INTO price SELECT n, n * 100 FROM generate_series(1, 40) AS n")
        engine = open_engine(PostgresSettings(dsn=SecretStr(self.home)))
        await migrate.migrate(engine)
        await engine.dispose()

    async def cdc(self, *arguments: object) -> tuple[int, Any]:
        """Run the program `cdc` with `--json`: its exit code, and what it printed."""
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, [*map(str, arguments), "--json"])
        printed = self._capsys.readouterr()
        print(printed.err)
        return code, json.loads(printed.out) if printed.out else printed.err

    async def recover(self, *more: str) -> tuple[int, Any]:
        """Run `cdc recover` with the app."""
        return await self.cdc(
            "recover", self.folder / "operations.toml", "--app", "tests.shop.tally:app", "--timeout", "120", *more
        )

    async def die(self, moment: str) -> int:
        """Run `cdc recover` in a process that is killed at *moment*, and give its exit code."""
        arguments = ["recover", str(self.folder / "operations.toml"), "--app", "tests.shop.tally:app"]
        program = "import sys; from cdc.cli import main; sys.exit(main(sys.argv[1:]))"
        environment = {**os.environ, "REFOLD_FAIL_AT": moment, "PYTHONPATH": str(ROOT)}
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, *arguments, env=environment)
        return await child.wait()

    async def verify(self) -> tuple[int, Any]:
        """Run `cdc verify` with the app."""
        return await self.cdc("verify", self.folder / "operations.toml", "--app", "tests.shop.tally:app", "--timeout", "120")

    async def pay(self, count: int) -> None:
        """Insert *count* payments one by one, and change, add and remove prices beside them."""
        connection = await psycopg.AsyncConnection.connect(self.dsn, autocommit=True)
        async with connection:
            for _ in range(count):
                await self._pay_one(connection)

    @asynccontextmanager
    async def paying(self) -> AsyncIterator[None]:
        """Pay all the time meanwhile."""
        stopping = asyncio.Event()

        async def go_on() -> None:
            async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
                while not stopping.is_set():
                    await self._pay_one(connection)

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            stopping.set()
            await task

    async def paid(self, more: int) -> None:
        """Return once *more* payments than now were made."""
        goal = sum(self.numbers.values()) + more

        async def enough() -> bool:
            return sum(self.numbers.values()) >= goal

        await eventually(enough, f"{more} more payments", 60)

    async def _pay_one(self, connection: psycopg.AsyncConnection[Any]) -> None:
        account = self._chance.randrange(ACCOUNTS)
        self.numbers[account] += 1
        number, name = self.numbers[account], f"a{account}"
        with self.recorder.operation("append", stream=name, event_id=f"{name}:{number}") as found:
            await connection.execute("INSERT INTO payment VALUES (%s, %s, %s)", (name, number, number % 7))
            found["version"] = number
        item = self._chance.randrange(1, 60)
        await connection.execute("DELETE FROM price WHERE item = %s", (item,))
        await connection.execute(
            "INSERT INTO price VALUES (%s, %s) ON CONFLICT (item) DO UPDATE SET cents = excluded.cents", (item % 47 + 1, number)
        )

    @asynccontextmanager
    async def feeding(self) -> AsyncIterator[None]:
        """Feed the read models meanwhile."""
        engine, stopping = open_engine(PostgresSettings(dsn=SecretStr(self.home))), asyncio.Event()
        task = asyncio.create_task(Supervisor(app, engine, kafka=self.kafka, settings=QUICK).run(stopping))
        try:
            await eventually(self._is_live, "a live generation", 60)
            yield
        finally:
            stopping.set()
            await task
            await engine.dispose()

    async def _is_live(self) -> bool:
        with psycopg.connect(self.home, autocommit=True) as connection:
            return bool(connection.execute("SELECT FROM projections.generation WHERE state = 'live'").fetchall())

    async def examine(self) -> tuple[Report, list[Operation]]:
        """Tell the checker what log and read model hold, and let it judge."""
        for partition, offset, account, number in await self._read_log():
            self.recorder.note(
                "ok",
                "publish",
                stream=account,
                version=number,
                event_id=f"{account}:{number}",
                partition=partition,
                offset=offset,
            )
        self.recorder.note("ok", "caught_up")
        about = {"projection": "tally", "pversion": 1}
        for account, number in self._read_rows():
            self.recorder.note("ok", "project", stream=account, version=number, event_id=f"{account}:{number}", **about)
        self.recorder.note("ok", "caught_up", **about)
        operations = load(self.folder / "history.jsonl")
        return examine(operations), operations

    def _read_rows(self) -> list[tuple]:
        with psycopg.connect(self.home, autocommit=True) as connection:
            query = "SELECT schema_name FROM projections.generation WHERE state = 'live'"
            [(schema,)] = connection.execute(query).fetchall()
            return connection.execute(f"SELECT account, number FROM {schema}.payment ORDER BY 1, 2").fetchall()

    async def _read_log(self) -> list[tuple[int, int, str, int]]:
        topic = TopicPartition(self.topic, 0)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap, isolation_level="read_committed")
        await consumer.start()
        found: list[tuple[int, int, str, int]] = []
        try:
            consumer.assign([topic])
            await consumer.seek_to_beginning(topic)
            end = (await consumer.end_offsets([topic]))[topic]
            while await consumer.position(topic) < end:
                for record in (await consumer.getmany(topic, timeout_ms=200)).get(topic, []):
                    key = json.loads(record.key)["payload"]
                    found.append((0, record.offset, key["account"], key["number"]))
        finally:
            await consumer.stop()
        return found
