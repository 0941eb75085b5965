"""The demo's own corner of the servers: two databases and a topic prefix, fresh in every run, and what an earlier run left removed.

It also knows when the read models hold everything that is recorded: by waiting for the newest event of every partition.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Self

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import PreconditionFailed
from eventstore.log.admin import Admin
from eventstore.log.partitioner import partition_of
from eventstore.postgres import open_engine
from eventstore.postgres.store import PostgresEventStore
from eventstore.settings import KafkaSettings
from eventstore.stream import Position, Token
from examples.flights import oracle
from examples.flights.audit import Finding, compare, current_operations
from examples.flights.operations import connector_environment, drop, dsn_of
from examples.flights.release1 import app
from projections.declaration.projection import Projection
from projections.serving import ReadModels

NAME = os.environ.get("FLIGHTS_DEMO_NAME", "flights-demo")
"""What databases, topics and the folder of the demo are called; another name makes another demo beside this one."""
STORE = NAME.replace("-", "_")
OPERATIONS = f"{STORE}_operations"


def environment(run: str, folder: Path) -> dict[str, str]:
    """Give the variables under which everything of this *run* works, here and in the child processes; secrets go to *folder*."""
    return {
        "REFOLD_POSTGRES_DSN": dsn_of(STORE),
        "REFOLD_KAFKA_TOPIC_PREFIX": f"{NAME}-{run}",
        "REFOLD_PROJECTIONS_WAIT_S": "30",
        **connector_environment(dsn_of(OPERATIONS), folder),
    }


async def sweep() -> int:
    """Remove the databases and topics of all earlier runs; give how many topics there were. No connector may be running on them."""
    await asyncio.to_thread(drop, dsn_of(OPERATIONS))
    await asyncio.to_thread(drop, dsn_of(STORE))
    async with Admin.open(KafkaSettings(topic_prefix=f"{NAME}-")) as admin:
        topics = await admin.topics()
        await admin.delete_topics(topics)
    return len(topics)


@dataclass
class Stage:
    """The store, the read models, and the oracle's facts for the days from *first* to *last*."""

    store: PostgresEventStore
    read_models: ReadModels
    facts: oracle.Frame
    played_day: date

    @classmethod
    @asynccontextmanager
    async def open(cls, first: date, last: date) -> AsyncGenerator[Self]:
        """Connect to what the environment names."""
        engine: AsyncEngine = open_engine(application="flights demo")
        try:
            async with PostgresEventStore.open(engine=engine) as store:
                facts = await asyncio.to_thread(oracle.facts, first, last)
                yield cls(store, ReadModels(engine, app), facts, last)
        finally:
            await engine.dispose()

    @property
    def projections(self) -> list[Projection]:
        """The projections whose read models are looked at."""
        return list(app)

    async def wait_live(self, check: Callable[[], None], *, timeout_s: float = 60) -> None:
        """Wait until every projection has a live generation; *check* raises when that will never be."""
        async with asyncio.timeout(timeout_s):
            while True:
                check()
                with contextlib.suppress(PreconditionFailed):
                    async with self.read_models.session():
                        return
                await asyncio.sleep(0.1)

    async def newest_tokens(self) -> list[Token]:
        """Give the newest event's token of every partition of the events topic."""
        partitions = KafkaSettings().partitions
        head, back = await self.store.head(), 1
        while True:
            after = Position(max(0, head.xid - back), 0)
            tokens = {partition_of(each.stream, partitions): each.token async for each in self.store.read_all(after)}
            if len(tokens) == partitions or after.xid == 0:
                return list(tokens.values())
            back *= 8

    async def wait_current(self, *, timeout_s: float = 300) -> float:
        """Wait until all read models hold every event recorded so far; give the seconds that took."""
        begun = time.monotonic()
        for token in await self.newest_tokens():
            for projection in self.projections:
                await self.read_models.wait_for(token, projection, timeout_s=timeout_s)
        return time.monotonic() - begun

    async def audit(self, until: datetime, release: int, *, patience_s: float = 30) -> Finding:
        """Compare every row with the oracle: the last day as of *until*, the days before to their end.

        Captured changes have no token to wait for, so a difference is looked at again until *patience_s* seconds are over.
        """
        known = oracle.until(self.facts, until, since=self.played_day)
        deadline = time.monotonic() + patience_s
        while True:
            current = await asyncio.to_thread(current_operations, os.environ["FLIGHTS_OPERATIONS_DSN"])
            wanted = oracle.expected(known, current, release=release)
            finding = await compare(self.read_models, wanted)
            if not finding.differences or time.monotonic() > deadline:
                return finding
            await asyncio.sleep(0.2)
