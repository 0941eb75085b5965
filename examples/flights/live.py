"""Live mode: plays days at a chosen speed, each event appended when its time has come, with the version it must follow.

Run it with `python -m examples.flights.live --day 2013-12-31 --speed 1440` (a day in a minute). Playing what was played
before records nothing twice: ids are those of the import. An event that comes late is appended at once; none is skipped.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from eventstore.postgres.store import PostgresEventStore
from eventstore.store import EventStore
from eventstore.stream import Token
from examples.flights.data import LAST_DAY, flights, zones
from examples.flights.history import Happening, history, midnight


class Played(NamedTuple):
    """One appended event: how far the played time has come, and the token to read one's own write."""

    at: datetime
    token: Token


@dataclass
class Clock:
    """Played time: it was *start* when the clock was made, and passes *speed* times as fast as real time."""

    start: datetime
    speed: float
    _zero: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def now(self) -> datetime:
        """The played time now."""
        return self.start + timedelta(seconds=(asyncio.get_running_loop().time() - self._zero) * self.speed)

    async def reach(self, instant: datetime) -> None:
        """Wait until the played time is *instant*."""
        await asyncio.sleep(max(0.0, (instant - self.now).total_seconds() / self.speed))


async def play(store: EventStore, happenings: Iterable[Happening], clock: Clock) -> AsyncIterator[Played]:
    """Append *happenings* (by event time) as *clock* reaches each, and give it when it is recorded."""
    versions: dict[str, int] = {}
    for stream, new in happenings:
        assert new.occurred_at is not None
        await clock.reach(new.occurred_at)
        token = await store.append(stream, [new], expected=versions.get(stream, 0))
        versions[stream] = token.version
        yield Played(new.occurred_at, token)


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
