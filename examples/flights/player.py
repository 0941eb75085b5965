"""The live day of the demo: plays it in the background, and now and then reads back from the web app what it has just written."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import date, datetime, timedelta
from typing import Any

import httpx

from eventstore.store import EventStore
from examples.flights.events import FlightArrived, FlightCancelled, FlightDeparted, FlightDiverted, FlightScheduled
from examples.flights.history import midnight
from examples.flights.live import Clock, Played, day_of, play

READ_BACK_EVERY = 50
NIGHT = timedelta(hours=4)
STATUS: dict[type, str] = {
    FlightScheduled: "scheduled",
    FlightDeparted: "departed",
    FlightArrived: "arrived",
    FlightCancelled: "cancelled",
    FlightDiverted: "diverted",
}


class StoryFailed(Exception):
    """Something in the demo is not as it must be; the message says what."""


class Player:
    """Plays *day* into *store*. *until* is the instant up to which everything has been recorded."""

    def __init__(self, store: EventStore, day: date, speed: float, web: httpx.AsyncClient) -> None:
        self.day, self.speed = day, speed
        self.played = 0
        self.until: datetime = midnight(day) - timedelta(seconds=1)
        self.read_back_ms: list[float] = []
        self._store, self._web = store, web
        self._clock = Clock(midnight(day), speed)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to play, in the background, an hour before the first flights leave; the timetable comes at once."""
        self._clock = Clock(midnight(self.day) + NIGHT, self.speed)
        self._task = asyncio.create_task(self._play(), name="live")

    def held(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Let the day stand still meanwhile, between two instants."""
        return self._clock.held()

    def check(self) -> None:
        """Raise what ended the playing, if anything did."""
        if self._task and self._task.done():
            self._task.result()

    async def finish(self) -> None:
        """Play to the end. Raises StoryFailed when something that was written could not be read back."""
        assert self._task is not None
        await self._task

    async def stop(self) -> None:
        """Stop playing, whatever has become of it."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _play(self) -> None:
        async with contextlib.aclosing(play(self._store, day_of(self.day), self._clock)) as events:
            async for played in events:
                self.played += 1
                self.until = played.at
                if self.played % READ_BACK_EVERY == 0:
                    await self._read_back(played)

    async def _read_back(self, played: Played) -> None:
        """Read one's own write from the board; it must be there at once."""
        begun = time.monotonic()
        stream, wanted = played.token.stream, STATUS[type(played.event)]
        asked = {"origin": stream[-3:], "day": str(self.day), "token": str(played.token)}
        rows = (await ask(self._web, "/departures", asked))["rows"]
        self.read_back_ms.append((time.monotonic() - begun) * 1000)
        found = [row["status"] for row in rows if row["stream"] == stream]
        if found != [wanted]:
            raise StoryFailed(f"{stream} was {wanted} when it was written, and is read as {found}")


async def ask(web: httpx.AsyncClient, address: str, asked: dict[str, str] | None = None) -> dict[str, Any]:
    """Ask the web app. Raises StoryFailed for any answer but 200."""
    answer = await web.get(address, params=asked)
    if answer.status_code != 200:
        raise StoryFailed(f"{address} {asked}: {answer.status_code} {answer.text[:300]}")
    return answer.json()
