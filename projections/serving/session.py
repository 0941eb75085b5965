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
from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load
from eventstore.settings import KafkaSettings
from eventstore.stream import Token
from eventstore.tenant import EVERY_TENANT, check_tenant
from projections.control.catalogue import read_pointers
from projections.control.generation import Generation
from projections.declaration.projection import EVENTS, Projection
from projections.declaration.registry import Projections
from projections.serving.bookmark import Bookmark
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
        self.app = app
        self._kafka = kafka or KafkaSettings()
        self._settings = settings or ProjectionSettings()
        self._partitions: int | None = None

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
                live |= await pin(raw, self.app, generations or {}, as_of)
            live = self._require(live)
            if acting:
                await _act_for(raw, acting)
            translate = {each.slug: live[each.name].schema_name for each in self.app}
            bound = await connection.execution_options(schema_translate_map=translate)
            # A rollback of the caller must not end the transaction that the tenant is bound to.
            mode = "create_savepoint" if acting else "conditional_savepoint"
            facts = {"generations": live, "tenant": tenant}
            async with AsyncSession(bind=bound, info=facts, expire_on_commit=False, join_transaction_mode=mode) as session:
                yield session

    def _name_tenant(self, tenant: str | None, *, every_tenant: bool) -> str | None:
        if tenant is not None and not every_tenant:
            return check_tenant(tenant)
        mixed = [f"{each.name}.{table.name}" for each in self.app for table in each.tables if table.tenant]
        if mixed and not every_tenant:
            raise UsageError(f"{', '.join(mixed)} hold rows of several tenants: open session(tenant=...) and say for whom")
        return EVERY_TENANT if every_tenant else None

    def _require(self, live: dict[str, Generation]) -> dict[str, Generation]:
        missing = [each.name for each in self.app if each.name not in live]
        if missing:
            raise PreconditionFailed(
                f"no generation of {', '.join(missing)} is live yet: start `projections run`, or `replay --projection {missing[0]} "
                "--from-beginning`",
                missing=missing,
            )
        return live

    async def wait_for(self, token: Token, projection: Projection, *, timeout_s: float | None = None) -> None:
        """Return when the live generation of *projection* contains the event that *token* stands for (read your own writes).

        Works from any process and across swaps. Raises TimedOut after *timeout_s* seconds (None = the setting): the write
        itself stands.
        """
        await self.reach(await self.bookmark(token), projection, timeout_s=timeout_s)

    async def bookmark(self, *tokens: Token) -> Bookmark:
        """Make of *tokens* what a reader elsewhere has to reach, as text for a cookie or a header."""
        if self._partitions is None:
            async with checkout(self._engine) as connection:
                live = await read_pointers(connection)
            topic = EVENTS.topic(self._kafka)
            self._partitions = next((each.topics[topic] for each in live.values() if topic in each.topics), None)
        return Bookmark.of(tokens, self._partitions or self._kafka.partitions)

    async def reach(self, bookmark: Bookmark, *projections: Projection, timeout_s: float | None = None) -> None:
        """Return when the live generations of *projections* (none named = the whole app) contain all that *bookmark* stands for.

        Raises TimedOut like `wait_for`.
        """
        names = sorted({each.name for each in projections or self.app})
        limit = timeout_s if timeout_s is not None else self._settings.wait_s
        behind = names
        try:
            async with asyncio.timeout(limit):
                pause = 0.002
                while behind := await self._find_behind(bookmark, names):
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.3, 0.05)
        except TimeoutError:
            raise TimedOut(
                f"{', '.join(behind)} did not reach {bookmark} within {limit:g} s; the event is recorded. "
                "Look at `projections list` for a worker and a relay that run.",
                behind=behind,
            ) from None

    async def _find_behind(self, bookmark: Bookmark, names: list[str]) -> list[str]:
        marks = bookmark.positions
        values = {
            "projections": names,
            "topic": EVENTS.topic(self._kafka),
            "partitions": list(marks),
            "xids": [each.xid for each in marks.values()],
            "sequences": [each.sequence for each in marks.values()],
        }
        async with checkout(self._engine) as connection:
            rows = await (await connection.execute(load("projections", "find_behind"), values)).fetchall()
        return sorted({name for name, _ in rows})


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
