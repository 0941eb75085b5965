"""Read models for web apps: plain SQLAlchemy over whichever generation is live.

A session resolves the pointer once, at its first statement's snapshot, and sees one generation of every table until it ends,
whatever is swapped meanwhile. Retired generations are kept for a grace time, so a running request never loses its tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from eventstore.errors import PreconditionFailed, TimedOut, UsageError
from eventstore.log.partitioner import partition_of
from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load
from eventstore.settings import KafkaSettings
from eventstore.stream import Position, Token
from eventstore.tenant import EVERY_TENANT, check_tenant
from projections.catalogue import find_live, read_pointers
from projections.generation import Generation
from projections.projection import EVENTS, Projection
from projections.registry import Projections
from projections.serving.pin import pin
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
    async def session(
        self,
        *,
        tenant: str | None = None,
        every_tenant: bool = False,
        generations: Mapping[str, int] | None = None,
        as_of: datetime | None = None,
    ) -> AsyncGenerator[AsyncSession]:
        """Open a read-only session: one snapshot, one generation of every table. `session.info["generations"]` says which.

        *tenant*: tables with tenants show its rows and no others, whatever the query says; *every_tenant*: all rows, for a login of
        the projectors' role. An app with such a table must say one or the other, or UsageError is raised.
        *generations* (projection: number) reads those instead of the live ones; *as_of* reads what `replay --until` built for that time.
        Raises PreconditionFailed when a projection of the app has no live generation yet, and when nothing would hold this login back.
        """
        acting = self._name_tenant(tenant, every_tenant=every_tenant)
        async with self._engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            await connection.begin()
            raw: Any = (await connection.get_raw_connection()).driver_connection
            live = await read_pointers(raw)
            if generations or as_of:
                live |= await pin(raw, self._app, generations or {}, as_of)
            live = self._require(live)
            if acting:
                await _act_for(raw, acting)
            translate = {each.slug: live[each.name].schema_name for each in self._app}
            bound = await connection.execution_options(schema_translate_map=translate)
            # A rollback of the caller must not end the transaction that the tenant is bound to.
            mode = "create_savepoint" if acting else "conditional_savepoint"
            facts = {"generations": live, "tenant": tenant}
            async with AsyncSession(bind=bound, info=facts, expire_on_commit=False, join_transaction_mode=mode) as session:
                yield session

    def _name_tenant(self, tenant: str | None, *, every_tenant: bool) -> str | None:
        if tenant is not None and not every_tenant:
            return check_tenant(tenant)
        mixed = [f"{each.name}.{table.name}" for each in self._app for table in each.tables if table.tenant]
        if mixed and not every_tenant:
            raise UsageError(f"{', '.join(mixed)} hold rows of several tenants: open session(tenant=...) and say for whom")
        return EVERY_TENANT if every_tenant else None

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


async def _act_for(connection: Any, tenant: str) -> None:
    """Bind the open transaction to *tenant*. A login that no policy holds for, such as an administrator, becomes a reader for it."""
    row = await (await connection.execute(load("projections", "act_for_tenant"), {"tenant": tenant})).fetchone()
    _, unbound, reader = row
    if not unbound or tenant == EVERY_TENANT:
        return
    if reader is None:
        raise PreconditionFailed(
            "this login sees the rows of every tenant whatever the policies say, and there is no role of readers to become: run "
            "`eventstore roles --apply`, or connect as a login that is no superuser"
        )
    await connection.execute(load("projections", "become_reader"), {"role": reader})
