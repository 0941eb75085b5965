"""Pages of the store, the next one read while the last one is being published: two in memory, never more.

Only while there is much to catch up on. After a small page the next one is read when it is wanted: one read at once would hold
the little that came meanwhile, and all that comes until it is published would wait for a page more.

Their size is bounded before they are read, by what the database has stored; compressed data unpacks to more, so the bound
follows what the last page became.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.pages import TextRow, Wanted, read_page
from eventstore.settings import RelaySettings
from eventstore.stream import Position

_DATA, _METADATA = 7, 8
_LEAST_BYTES = 1 << 10
_SMALL = 8
"""The part of a full page below which a page is small."""


@dataclass(slots=True)
class _Reading:
    after: Position
    task: asyncio.Task[list[TextRow]]


class Pages:
    """Reads what the relay has to publish for *topic*. Routes up to number *void* do not count."""

    def __init__(self, engine: AsyncEngine, settings: RelaySettings, topic: str, void: int) -> None:
        self._engine = engine
        self._settings = settings
        self._wanted = Wanted(topic, settings.batch_events, settings.batch_bytes, void)
        self._reading: _Reading | None = None

    async def take(self, after: Position) -> list[TextRow]:
        """Give the page after *after*, and begin to read the one behind a large one."""
        if self._reading is None or self._reading.after != after:
            await self.close()
            page = await self._read(after)
        else:
            reading, self._reading = self._reading, None
            page = await reading.task
        if page:
            size = sum(len(row[_DATA]) + len(row[_METADATA]) for row in page)
            large = len(page) * _SMALL >= self._wanted.events or size * _SMALL >= self._wanted.size
            self._fit(size)
            if large:
                end = Position(page[-1][2], page[-1][3])
                self._reading = _Reading(end, asyncio.create_task(self._read(end)))
        return page

    async def close(self) -> None:
        """Give up the page that is being read."""
        if self._reading is not None:
            reading, self._reading = self._reading, None
            reading.task.cancel()
            await asyncio.gather(reading.task, return_exceptions=True)

    async def _read(self, after: Position) -> list[TextRow]:
        return await read_page(self._engine, after, self._wanted)

    def _fit(self, size: int) -> None:
        """Ask for less next time when this page became larger than wanted, and for more, up to the setting, when it did not."""
        most = self._settings.batch_bytes
        asked = self._wanted.size
        fitting = max(_LEAST_BYTES, asked * most // size) if size > most else min(most, asked * 2)
        self._wanted = self._wanted._replace(size=fitting)
