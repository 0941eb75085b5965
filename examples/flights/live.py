"""Live mode: plays days at a chosen speed, each event appended when its time has come, with the version it must follow.

Run it with `python -m examples.flights.live --day 2013-12-31 --speed 1440` (a day in a minute). Playing what was played
before records nothing twice: ids are those of the import. An event that comes late is appended at once; none is skipped.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from itertools import groupby, islice
from typing import NamedTuple

from eventstore.postgres.store import PostgresEventStore
from eventstore.store import EventStore
from eventstore.stream import Token
from examples.flights.data import LAST_DAY, flights, zones
from examples.flights.history import Happening, history, midnight

AT_ONCE = 8
"""Appends in flight, at most; fewer than the pool has connections."""


class Played(NamedTuple):
    """One appended event: when it happened, what it was, and the token to read one's own write."""

    at: datetime
    event: object
    token: Token


class Clock:
    """Played time: begins at *start*, passes *speed* times as fast as real time, and stands while it is held."""

    def __init__(self, start: datetime, speed: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._start, self._speed, self._zero = start, speed, self._loop.time()
        self._gate = asyncio.Lock()

    @property
    def now(self) -> datetime:
        """The played time now."""
        return self._start + timedelta(seconds=(self._loop.time() - self._zero) * self._speed)

    @asynccontextmanager
    async def reached(self, instant: datetime) -> AsyncGenerator[None]:
        """Wait until the played time is *instant*; what is done inside is done before anybody else can hold the clock."""
        while True:
            await asyncio.sleep(max(0.0, (instant - self.now).total_seconds() / self._speed))
            async with self._gate:
                if self.now >= instant:
                    yield
                    return

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        """Let the played time stand still meanwhile; begins when everything of the present instant is recorded."""
        async with self._gate:
            begun = self._loop.time()
            try:
                yield
            finally:
                self._zero += self._loop.time() - begun


async def play(store: EventStore, happenings: Iterable[Happening], clock: Clock) -> AsyncGenerator[Played]:
    """Append *happenings* (by event time) as *clock* reaches each, and give it when it is recorded.

    What happens at the same instant happens to different flights, so a few of them are appended at once.
    """
    versions: dict[str, int] = {}

    async def record(happening: Happening) -> Played:
        stream, new = happening
        token = await store.append(stream, [new], expected=versions.get(stream, 0))
        versions[stream] = token.version
        assert new.occurred_at is not None
        return Played(new.occurred_at, new.event, token)

    for instant, simultaneous in groupby(happenings, key=lambda each: each[1].occurred_at):
        assert instant is not None
        async with clock.reached(instant):
            for some in batched(simultaneous, AT_ONCE):
                for played in await asyncio.gather(*map(record, some)):
                    yield played


def batched(happenings: Iterable[Happening], size: int) -> Iterator[list[Happening]]:
    """Give *happenings* in lists of up to *size*."""
    rest = iter(happenings)
    while some := list(islice(rest, size)):
        yield some


def day_of(day: date) -> Iterable[Happening]:
    """Give the events of the flights of *day*, by event time."""
    return history(flights(day, day), zones())


async def _main(day: date, speed: float) -> None:
    async with PostgresEventStore.open() as store:
        count = 0
        async for played in play(store, day_of(day), Clock(midnight(day), speed)):
            count += 1
            if count % 100 == 0:
                print(f"{played.at:%Y-%m-%d %H:%M} UTC: {count} events", file=sys.stderr)
        print(f"{count} events of {day} are recorded")


def main() -> None:
    """Read the command line and play."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", type=date.fromisoformat, default=LAST_DAY, help="day of 2013 to play (default: the last)")
    parser.add_argument("--speed", type=float, default=1440.0, help="played seconds per second (default: 1440, a day a minute)")
    given = parser.parse_args()
    asyncio.run(_main(given.day, given.speed))


if __name__ == "__main__":
    main()
