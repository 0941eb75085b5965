"""Running the bank: workers in this process, console programs in a thread or as child processes, and looking at the rows."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncEngine

import projections.cli
import replay.cli
from eventstore.postgres.engine import checkout
from eventstore.settings import KafkaSettings
from projections.control.catalogue import find_live, list_generations
from projections.control.checkpoint import Vector, has_reached, read_seen
from projections.control.generation import Generation, State
from projections.declaration.registry import Projections
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.bank.log import Recorded
from tests.bank.oracle import Rows, expect
from tests.faults.history import History, judge
from tests.stack.forks import Child
from tests.stack.waiting import PATIENCE_S, eventually

KEYS = {"balance": "account", "kind_total": "kind", "trail": "stream"}
QUICK = ProjectionSettings(look_s=0.05, poll_s=0.05)
Popen = subprocess.Popen[str] | Child
ROOT = Path(__file__).resolve().parent.parent.parent
OPERATING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s"


class Outcome(NamedTuple):
    """How a console program ended."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The last line of standard error, which `--json` makes an object."""
        return json.loads(self.err.strip().splitlines()[-1])


class Runs:
    """The bank on one database and one topic prefix."""

    def __init__(self, engine: AsyncEngine, kafka: KafkaSettings, dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.engine = engine
        self.kafka = kafka
        self.dsn = dsn
        self._capsys = capsys

    @asynccontextmanager
    async def worker(self, app: Projections, engine: AsyncEngine | None = None) -> AsyncIterator[Supervisor]:
        """Feed the generations of *app* in this process."""
        supervisor = Supervisor(app, engine or self.engine, kafka=self.kafka, settings=QUICK)
        stopping = asyncio.Event()
        task = asyncio.create_task(supervisor.run(stopping))
        try:
            yield supervisor
        finally:
            stopping.set()
            await task

    async def serve(self, app: Projections) -> None:
        """Make the first generation of *app* live and bring it up to the log's end; nothing feeds it afterwards."""
        async with self.worker(app):
            await self.current()

    async def current(self, timeout_s: float = PATIENCE_S) -> None:
        """Return once the live generation has read all that was written to the log before."""
        ends = await self.ends()

        async def is_current() -> bool:
            live = await self.live()
            if live is None:
                return False
            async with checkout(self.engine) as connection:
                return has_reached(await read_seen(connection, live.id), ends)

        await eventually(is_current, "the live generation reaches the end of the log", timeout_s)

    async def ends(self) -> Vector:
        """Give the log's end with what is not visible yet: a transaction's markers come a moment after its commit."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap, isolation_level="read_uncommitted")
        await consumer.start()
        try:
            wanted = [TopicPartition(self.kafka.events_topic, each) for each in range(self.kafka.partitions)]
            return {(each.topic, each.partition): end for each, end in (await consumer.end_offsets(wanted)).items()}
        finally:
            await consumer.stop()

    async def generations(self) -> list[Generation]:
        """List the bank's generations, newest first."""
        async with checkout(self.engine) as connection:
            return await list_generations(connection, "bank")

    async def live(self) -> Generation | None:
        """Give the live generation."""
        return next((each for each in await self.generations() if each.state is State.LIVE), None)

    async def states(self) -> dict[int, str]:
        """Give each generation's state by its number."""
        return {each.number: str(each.state) for each in await self.generations()}

    async def rows(self, generation: Generation | None = None) -> Rows:
        """Give all rows of *generation* (None = the live one) by table and key."""
        chosen = generation or await self.live()
        assert chosen is not None, "nothing is live"
        return {
            table: {row[key]: row for row in await self.query(f"SELECT * FROM {chosen.schema_name}.{table}")}
            for table, key in KEYS.items()
        }

    async def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run one statement and give its rows."""
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True, row_factory=dict_row) as connection:
            cursor = await connection.execute(statement, values)  # type: ignore[arg-type]
            return await cursor.fetchall() if cursor.description else []

    async def history(self, events: Iterable[Recorded], worth: Callable[[int], int] = int) -> History:
        """Give what the live read model says of *events*, for the checker."""
        rows, expected = await self.rows(), expect(events, worth)
        recorded, applied = ({stream: row["versions"] for stream, row in each["trail"].items()} for each in (expected, rows))
        return History(recorded, applied, found=rows, expected=expected)

    async def judge(self, events: Iterable[Recorded], worth: Callable[[int], int] = int) -> None:
        """Demand that the checker finds nothing wrong with what the live read model says of *events*."""
        judge(await self.history(events, worth))

    async def parked(self) -> list[dict[str, Any]]:
        """List what is set aside."""
        return await self.query(
            'SELECT convert_from(key, \'utf8\') AS key, "offset", reason, value FROM projections.parked ORDER BY partition, "offset"'
        )

    async def replay(self, *argv: str, release: int = 1) -> Outcome:
        """Run the console program `replay` in a thread of this process, with `--json`."""
        given = argv or ("--projection", "bank", "--from-beginning")
        return await self.program(replay.cli.main, *given, *(["--app", name_app(release)] if given[0] != "gc" else []), "--json")

    async def rebuild(self, *flags: str, release: int = 1) -> Outcome:
        """Run `replay --projection bank --from-beginning` with *flags*."""
        return await self.replay("--projection", "bank", "--from-beginning", *flags, release=release)

    async def projections(self, *argv: str) -> Outcome:
        """Run the console program `projections` in a thread of this process."""
        return await self.program(projections.cli.main, *argv)

    async def program(self, main: Any, *argv: str) -> Outcome:
        """Run a console program's *main* in a thread and catch what it prints."""
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, argv)
        printed = self._capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    async def evict(self, projection: str = "bank") -> int:
        """Take all members of a live generation's consumer group out of it, as the broker does after 10 s of silence."""
        async with checkout(self.engine) as connection:
            live = await find_live(connection, projection)
        assert live is not None
        client = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await client.start()
        try:
            node = await client.find_coordinator(live.consumer_group)
            [answer] = await client.describe_consumer_groups([live.consumer_group])
            [(_, _, _, _, _, members, *_)] = answer.groups
            for member, *_ in members:
                await client._send_request_to_node(node, LeaveGroupRequest(live.consumer_group, member))
            return len(members)
        finally:
            await client.close()

    def child(self, module: str, *argv: str, release: int = 1, **environment: str) -> Child:
        """Start a console program as a process of its own; *environment* comes on top of this one's."""
        return Child(f"{module}.cli", argv, {**self.environment(release), **environment})

    def environment(self, release: int) -> Mapping[str, Any]:
        """Give a child's environment."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "REFOLD_PROJECTIONS_APP": name_app(release),
            "REFOLD_PROJECTIONS_LOOK_S": "0.05",
            "REFOLD_PROJECTIONS_POLL_S": "0.05",
        }


def name_app(release: int) -> str:
    """Name the app of a release as `--app` takes it."""
    return f"tests.bank.release{release}:app"


async def hear(child: Popen, text: str, timeout_s: float = PATIENCE_S) -> str:
    """Read what *child* prints until a line holds *text*, and give that line; a child that never says it is killed."""
    assert child.stdout is not None
    heard: list[str] = []
    watchdog = asyncio.get_running_loop().call_later(timeout_s, child.kill)
    try:
        while line := await asyncio.to_thread(child.stdout.readline):
            heard.append(line)
            if text in line:
                return line
    finally:
        watchdog.cancel()
    raise AssertionError(f"not heard: {text!r}, but: {''.join(heard)}")


@asynccontextmanager
async def ended(*children: Popen) -> AsyncIterator[Sequence[Popen]]:
    """End *children* whatever happens, stopped ones too; what an operator held is free again afterwards."""
    try:
        yield children
    finally:
        for each in children:
            if each.poll() is None:
                each.send_signal(signal.SIGKILL)
        for each in children:
            await asyncio.to_thread(each.wait)
            if each.stdout:
                each.stdout.close()
        for each in children:
            if isinstance(each, Child) and each.returncode:
                await eventually(lambda child=each: _is_forgotten(child), "the server ends the session of an operator who died")


async def _is_forgotten(child: Child) -> bool:
    """Say whether the server has no session any more that holds an operator's lock for *child*, which is dead."""
    try:
        async with await psycopg.AsyncConnection.connect(child.dsn, autocommit=True, connect_timeout=5) as connection:
            return await (await connection.execute(OPERATING, (f"refold replay %pid {child.pid}",))).fetchone() is None
    except psycopg.OperationalError:  # without a server there is no session either
        return True
