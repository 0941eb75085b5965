"""Read models for web apps: plain SQLAlchemy over whichever generation is live.

A session resolves the pointer once, at its first statement's snapshot, and sees one generation of every table until it ends,
whatever is swapped meanwhile. Retired generations are kept for a grace time, so a running request never loses its tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from eventstore.errors import PreconditionFailed, TimedOut
from eventstore.log.partitioner import partition_of
from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load
from eventstore.settings import KafkaSettings
from eventstore.stream import Position, Token
from projections.catalogue import find_live, read_pointers
from projections.generation import Generation
from projections.projection import EVENTS, Projection
from projections.registry import Projections
from projections.settings import ProjectionSettings


class ReadModels:
    """The read models of *app* in the database of *engine*."""

    def __init__(
        self,
        engine: AsyncEngine,
        app: Projections,
        *,
        kafka: KafkaSettings | None = None,
        settings: ProjectionSettings | None = None,
    ) -> None:
        self._engine = engine
        self._app = app
        self._kafka = kafka or KafkaSettings()
        self._settings = settings or ProjectionSettings()

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[AsyncSession]:
        """Open a read-only session: one snapshot, one generation of every table. `session.info["generations"]` says which.

        Raises PreconditionFailed when a projection of the app has no live generation yet.
        """
        async with self._engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            await connection.begin()
            raw: Any = (await connection.get_raw_connection()).driver_connection
            live = self._require(await read_pointers(raw))
            translate = {each.slug: live[each.name].schema_name for each in self._app}
            bound = await connection.execution_options(schema_translate_map=translate)
            async with AsyncSession(bind=bound, info={"generations": live}, expire_on_commit=False) as session:
                yield session

    def _require(self, live: dict[str, Generation]) -> dict[str, Generation]:
        missing = [each.name for each in self._app if each.name not in live]
        if missing:
            raise PreconditionFailed(
                f"no generation of {', '.join(missing)} is live yet: start `projections run`, or `replay --projection {missing[0]}`",
                missing=missing,
            )
        return live

    async def wait_for(self, token: Token, projection: Projection, *, timeout_s: float | None = None) -> None:
        """Return when the live generation of *projection* contains the event that *token* stands for (read your own writes).

        Works from any process and across swaps. Raises TimedOut after *timeout_s* seconds (None = the setting): the write
        itself stands.
        """
        limit = timeout_s if timeout_s is not None else self._settings.wait_s
        try:
            async with asyncio.timeout(limit):
                await self._wait(token, projection)
        except TimeoutError:
            raise TimedOut(
                f"{projection.name} did not reach {token} within {limit:g} s; the event is recorded. "
                "Look at `projections list` for a worker and a relay that run."
            ) from None

    async def _wait(self, token: Token, projection: Projection) -> None:
        pause = 0.002
        while not await self._contains(token, projection):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.05)

    async def _contains(self, token: Token, projection: Projection) -> bool:
        topic = EVENTS.topic(self._kafka)
        async with checkout(self._engine) as connection:
            live = await find_live(connection, projection.name)
            if live is None or topic not in live.topics:
                return live is not None
            values = {"projection": projection.name, "topic": topic, "partition": partition_of(token.stream, live.topics[topic])}
            found = await (await connection.execute(load("projections", "read_position"), values)).fetchone()
        return found is not None and Position(*found) >= token.position
