"""A writer that records what it knows: in a task of a test, or as a process of its own that a test may kill.

As a process: `python -m tests.faults.writer HISTORY NAME COUNT`. Its event ids follow from NAME, so when it is started again after
a kill it takes up the first event that nobody acknowledged, as a web app does whose user presses the button again.
"""

import asyncio
import random
import sys
import time
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import psycopg
from sqlalchemy.exc import DBAPIError

from eventstore import NewEvent
from eventstore.errors import RefoldError, Unreachable
from eventstore.postgres import PostgresEventStore, checkout
from tests.bank.events import MoneyMoved
from tests.faults.operations import Recorder, load

STREAMS = 6
PAUSE_S = 0.005
"""Between two events of one writer, so that a run leaves the machine time for its faults."""
UNKNOWN = (Unreachable, psycopg.Error, DBAPIError)


class RolledBack(Exception):
    """The writer changed its mind."""


class Writer:
    """Appends *count* events (None = until *stop*), one after the other, each again and again until its outcome is known."""

    def __init__(self, store: PostgresEventStore, history: Path, name: str, stop: asyncio.Event | None = None) -> None:
        self._store = store
        self._recorder = Recorder(history, name)
        self._stop = stop or asyncio.Event()
        self._chance = random.Random(name)
        self.name = name

    async def run(self, count: int | None = None, *, start: int = 0, aborts: float = 0.0) -> None:
        """Write, and roll back that share of *aborts*."""
        number = 0
        while not self._stop.is_set() and (count is None or number < count):
            event, aborted = self._make(number), self._chance.random() < aborts
            if number >= start:
                await (self._abort(event) if aborted else self._insist(event))
                await asyncio.sleep(PAUSE_S)
            number += 1
        self._recorder.close()

    def _make(self, number: int) -> NewEvent:
        stream = f"account-{self._chance.randrange(STREAMS)}"
        event = MoneyMoved(account=stream, amount=self._chance.randrange(-500, 500), kind="deposit")
        return NewEvent(event, id=uuid5(NAMESPACE_OID, f"{self.name}-{number}"))

    async def _insist(self, new: NewEvent) -> None:
        while not await self._try(new):
            self._recorder.bite("unknown outcome")
            if self._stop.is_set():
                return
            await asyncio.sleep(0.05)

    async def _try(self, new: NewEvent) -> bool:
        event: MoneyMoved = new.event  # pyright: ignore[reportAssignmentType]
        try:
            with self._recorder.operation("append", stream=event.account, event_id=str(new.id), value=event.amount) as found:
                found["version"] = (await self._store.append(event.account, [new])).version
        except UNKNOWN:
            return False
        return True

    async def _abort(self, new: NewEvent) -> None:
        """Append inside a transaction and a savepoint, and roll back: whatever breaks meanwhile, it was never committed."""
        event: MoneyMoved = new.event  # pyright: ignore[reportAssignmentType]
        try:
            with self._recorder.operation(
                "append", RolledBack, *UNKNOWN, RefoldError, stream=event.account, event_id=str(new.id)
            ):
                async with checkout(self._store.engine) as connection, connection.transaction(), connection.transaction():
                    await self._store.append(event.account, [new], connection=connection)
                    raise RolledBack
        except RolledBack:
            self._recorder.bite("rolled back")
        except (*UNKNOWN, RefoldError):
            return


async def _main(history: Path, name: str, count: int) -> None:
    acknowledged = {each.event_id for each in load(history) if each.type == "ok" and each.f == "append"}
    ids = [str(uuid5(NAMESPACE_OID, f"{name}-{each}")) for each in range(count)]
    start = next((number for number, each in enumerate(ids) if each not in acknowledged), count)
    async with PostgresEventStore.open() as store:
        async with checkout(store.engine) as connection:
            row = await (await connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8")).fetchone()
        if row and abs(row[0] - time.time() - 3600) < 60:
            Recorder(history, name).bite("clock -1 h")
        await Writer(store, history, name).run(count, start=start)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
