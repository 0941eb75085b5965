"""Scratch tables for code that does not wait, such as a test.

SQL handlers run on the server that the settings name, by a thread of their own. Nothing of the database is read or changed
(`scratch`), so any one will do, and many tests may share it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self, TypeVar

from eventstore.postgres.engine import checkout, open_engine
from projections.declaration.projection import Projection
from projections.fold.step import Call
from projections.readmodels.scratch import Scratch

T = TypeVar("T")


class Desk:
    """The free tables of *projection*, empty when it is entered. Raises Unreachable when there is no server."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="refold-desk")
        self._stack = AsyncExitStack()
        self._scratch: Scratch | None = None

    def __enter__(self) -> Self:
        """Connect and make the tables."""
        self._thread.start()
        try:
            self._scratch = self._wait(self._open())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the tables."""
        try:
            self._wait(self._stack.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def run(self, calls: Sequence[Call], *, keep: bool) -> None:
        """Make *calls* in one transaction; without *keep* it is rolled back, as of a process that dies. Raises what a handler raises."""
        self._wait(self._run(calls, keep=keep))

    def rows(self) -> dict[str, dict[Any, Any]]:
        """Give all rows by table and key."""
        return self._wait(self._rows())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> Scratch:
        engine = open_engine(application="refold chaos")
        self._stack.push_async_callback(engine.dispose)
        scratch = Scratch(self._projection, await self._stack.enter_async_context(checkout(engine)))
        await scratch.open()
        return scratch

    async def _run(self, calls: Sequence[Call], *, keep: bool) -> None:
        assert self._scratch is not None
        async with self._scratch.connection.transaction(force_rollback=not keep):
            await self._scratch.run(calls)

    async def _rows(self) -> dict[str, dict[Any, Any]]:
        assert self._scratch is not None
        return {name: await self._scratch.rows(name) for name in self._scratch.tables}
