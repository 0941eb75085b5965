"""Why a build stands still: what its database session waits for, and who is in the way, told while it waits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import Connection, ConnectionLost, checkout
from eventstore.postgres.statements import load

LOOK_S = 0.5
QUIET_S = 2.0
"""Seconds without a word from the build until somebody asks the server why."""


class Watchdog:
    """Hears every step of a build and speaks up when there is none. *say* takes the reason."""

    def __init__(self, engine: AsyncEngine, say: Callable[[str], None]) -> None:
        self._engine = engine
        self._say = say
        self._heard = time.monotonic()

    def hear(self) -> None:
        """Note that the build moved."""
        self._heard = time.monotonic()

    @asynccontextmanager
    async def watching(self, connection: Connection) -> AsyncGenerator[None]:
        """Watch the session of *connection* meanwhile."""
        task = asyncio.create_task(self._watch(connection.info.backend_pid))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self, session: int) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if time.monotonic() - self._heard > QUIET_S:
                with contextlib.suppress(*ConnectionLost):
                    await self._ask(session)

    async def _ask(self, session: int) -> None:
        async with checkout(self._engine) as connection:
            row: Any = await (await connection.execute(load("replay", "find_blocker"), {"session": session})).fetchone()
        if row:
            self._say(describe_wait(*row))


def describe_wait(kind: str | None, event: str | None, query: str | None, holders: str | None) -> str:
    """Put what a session waits for into words. Pure."""
    if holders:
        return f"for a lock that {holders} holds"
    if kind == "Client":
        return "for this process"
    what = f" ({kind} {event})" if kind else ""
    statement = " ".join(" ".join(line for line in (query or "").splitlines() if not line.startswith("--")).split())
    return f"for PostgreSQL{what}: {statement[:60]}"
