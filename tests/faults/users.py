"""Users of a web app: each records something, waits until the read model has it, and looks at what is theirs."""

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from eventstore import NewEvent
from eventstore.errors import RefoldError, Unreachable
from eventstore.postgres import PostgresEventStore
from projections.serving import ReadModels
from tests.bank.events import MoneyMoved
from tests.faults.operations import Recorder
from tests.faults.tally import projection, table

TROUBLE = (Unreachable, psycopg.Error, DBAPIError, RefoldError)
STANDS = sa.select(table.table.c.versions).where(table.table.c.stream == sa.bindparam("stream"))


class User:
    """One user with a stream of their own; *waits_s* is how long they wait for the read model, before they look anyway."""

    def __init__(self, store: PostgresEventStore, models: ReadModels, history: Path, name: str, waits_s: float = 60.0) -> None:
        self.name = name
        self._store = store
        self._models = models
        self._recorder = Recorder(history, name)
        self.waits_s = waits_s
        self.seen: Counter[int] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until *stop*; what servers refuse meanwhile is tried again."""
        while not stop.is_set():
            with suppress(*TROUBLE):
                await self._act()
            await asyncio.sleep(0.01)
        self._recorder.close()

    async def _act(self) -> None:
        new = NewEvent(MoneyMoved(account=self.name, amount=1, kind="deposit"))
        with self._recorder.operation("append", stream=self.name, event_id=str(new.id), value=1) as found:
            token = await self._store.append(self.name, [new])
            found["version"] = token.version
        await self._models.wait_for(token, projection, timeout_s=self.waits_s)
        async with self._models.session() as session:
            versions: list[int] = (await session.scalars(STANDS, {"stream": self.name})).one()
            number = session.info["generations"]["tally"].number
        facts = {"stream": self.name, "version": max(versions), "expected": token.version}
        self._recorder.note("ok", "read", projection="tally", pversions=(number,), **facts)
        self.seen[number] += 1
