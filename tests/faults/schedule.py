"""Seeded schedules of writers and readers on one store: the same seed gives the same steps, one at a time.

Each writer holds its transaction open over many steps of the others: it may get its id early, append to several streams, roll
back to a savepoint, roll back whole. Each reader keeps a committed checkpoint and asks again from there. So that nothing ever
waits for a lock, and a schedule stays one, a writer only touches streams that no other open transaction has touched.
"""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg

from eventstore import NewEvent, RawEvent
from eventstore.postgres import PostgresEventStore, checkout
from tests.faults.operations import Operation, Type, What
from tests.stack.waiting import eventually

STREAMS = 4
NEWEST = "SELECT coalesce(max(xid::text::bigint), 0), coalesce(max(position), 0) FROM eventstore.event"
Connection = psycopg.AsyncConnection[Any]
Row = tuple[str, int, str]
"""Stream, version, event id."""


class Reader:
    """A design of an ordered reader. `poll` gives what is new; `page` is how much it takes at a time."""

    def __init__(self, name: str, connection: Connection, page: int) -> None:
        self.name = name
        self._connection = connection
        self.page = page

    def begin(self, xid: int, position: int) -> None:
        """Stand at the newest event."""
        raise NotImplementedError

    async def poll(self) -> list[Row]:
        """Take one step; most designs give rows at each."""
        raise NotImplementedError

    async def fetch(self, statement: Any, *values: Any) -> list[Any]:
        """Run one statement in a transaction of its own."""
        return await (await self._connection.execute(statement, values)).fetchall()


class Schedule:
    """One run of *steps* steps under *seed*, which tells an Operation for all that happens."""

    def __init__(self, store: PostgresEventStore, seed: int, steps: int = 120) -> None:
        self._store = store
        self._chance = random.Random(seed)
        self._steps = steps
        self._touched: dict[str, int] = {}
        self.told: list[Operation] = []

    def tell(self, process: str, outcome: Type, f: What, **fields: Any) -> None:
        """Note what happened, in the order in which it did."""
        self.told.append(Operation(process=process, type=outcome, f=f, t_ns=len(self.told), **fields))

    async def run(self, writers: int, designs: Sequence[Callable[[Connection], Reader]]) -> list[Operation]:
        """Run *writers* writers against readers of all *designs*, end all transactions, and let the readers catch up."""
        async with AsyncExitStack() as stack:
            active = [
                Writer(self, number, await stack.enter_async_context(checkout(self._store.engine))) for number in range(writers)
            ]
            readers = [each(await stack.enter_async_context(checkout(self._store.engine))) for each in designs]
            for each in readers:
                each.begin(*(await each.fetch(NEWEST))[0])
            for _ in range(self._steps):
                if not readers or self._chance.random() < 0.6:
                    await self._chance.choice(active).step()
                else:
                    await self._read(self._chance.choice(readers))
            for each in active:
                await each.end(commit=True)
            if readers:
                await eventually(lambda: self._is_open(readers[0]), "a horizon that nobody else holds back")
            await self._catch_up(readers)
        return self.told

    async def _is_open(self, reader: Reader) -> bool:
        """Say whether all events are below the horizon; transactions of other databases may hold it."""
        return not (await reader.fetch("SELECT count(*) FROM eventstore.event WHERE xid >= eventstore.horizon_v1()"))[0][0]

    async def _read(self, reader: Reader) -> int:
        rows = await reader.poll()
        for stream, version, event in rows:
            self.tell(
                reader.name, "ok", "project", projection=reader.name, pversion=1, stream=stream, version=version, event_id=event
            )
        return len(rows)

    async def _catch_up(self, readers: Sequence[Reader]) -> None:
        for reader in readers:
            quiet = 0
            while quiet < 8:  # designs that wait for gaps give up on them meanwhile
                quiet = 0 if await self._read(reader) else quiet + 1
            self.tell(reader.name, "ok", "caught_up", projection=reader.name, pversion=1)

    def free(self, writer: int) -> list[str]:
        """The streams that this writer may touch now."""
        return [each for each in map("s{}".format, range(STREAMS)) if self._touched.get(each, writer) == writer]

    def touch(self, stream: str, writer: int) -> None:
        """Take *stream* for the rest of the writer's transaction."""
        self._touched[stream] = writer

    def release(self, writer: int) -> None:
        """Give all of its streams back."""
        self._touched = {stream: owner for stream, owner in self._touched.items() if owner != writer}

    def flip(self, probability: float) -> bool:
        """Draw."""
        return self._chance.random() < probability

    def pick(self, choices: Sequence[str]) -> str:
        """Draw one."""
        return self._chance.choice(choices)

    async def append(self, stream: str, connection: Connection) -> tuple[str, int]:
        """Append one event within the transaction of *connection*."""
        new = NewEvent(RawEvent("x", {}))
        self.tell("writer", "invoke", "append", stream=stream, event_id=str(new.id))
        token = await self._store.append(stream, [new], connection=connection)
        return str(new.id), token.version


class Writer:
    """One connection that works its way through transactions."""

    def __init__(self, schedule: Schedule, number: int, connection: Connection) -> None:
        self._schedule = schedule
        self._number = number
        self._connection = connection
        self._open = False
        self._appended: list[Row] = []

    async def step(self) -> None:
        """Begin, append, roll back a part, or end."""
        if not self._open:
            await self._connection.execute("BEGIN")
            self._open = True
            if self._schedule.flip(0.5):
                await self._connection.execute("SELECT pg_current_xact_id()")
            return
        free = self._schedule.free(self._number)
        if free and len(self._appended) < 4 and self._schedule.flip(0.7):
            await self._append(self._schedule.pick(free))
        else:
            await self.end(commit=self._schedule.flip(0.7))

    async def _append(self, stream: str) -> None:
        self._schedule.touch(stream, self._number)
        undo = self._schedule.flip(0.2)
        try:
            await self._connection.execute("SAVEPOINT here")
            event, version = await self._schedule.append(stream, self._connection)
        except (psycopg.errors.SerializationFailure, psycopg.errors.LockNotAvailable):
            self._fail([(stream, 0, self._schedule.told[-1].event_id or "")])
            await self.end(commit=False)
            return
        if undo:
            await self._connection.execute("ROLLBACK TO here")
            self._fail([(stream, version, event)])
        else:
            self._appended.append((stream, version, event))

    async def end(self, *, commit: bool) -> None:
        """Commit or roll back, if a transaction is open."""
        if not self._open:
            return
        if commit:
            for _, _, event in self._appended:
                self._schedule.tell("writer", "invoke", "commit", event_id=event)
            await self._connection.execute("COMMIT")
            for stream, version, event in self._appended:
                self._schedule.tell("writer", "ok", "append", stream=stream, version=version, event_id=event)
        else:
            await self._connection.execute("ROLLBACK")
            self._fail(self._appended)
        self._open, self._appended = False, []
        self._schedule.release(self._number)

    def _fail(self, rows: Sequence[Row]) -> None:
        for stream, _, event in rows:
            self._schedule.tell("writer", "fail", "append", stream=stream, event_id=event)


@asynccontextmanager
async def without_guard(store: PostgresEventStore) -> AsyncIterator[None]:
    """Planted: take the guard out of the append functions, which keeps a stream's transaction ids in the order of its versions."""
    find = "SELECT p.oid, pg_get_functiondef(p.oid) FROM pg_proc AS p WHERE p.prosrc LIKE '%s.last_xid <= v_me%'"
    async with checkout(store.engine) as connection:
        functions = await (await connection.execute(find)).fetchall()
        assert functions, "no append function has the guard any more"
        for _, source in functions:
            await connection.execute(source.replace("s.last_xid <= v_me", "s.last_xid IS NOT NULL"))
        yield
        for _, source in functions:
            await connection.execute(source)
