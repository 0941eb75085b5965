"""Protecting the live generation during a build: look how far it is behind, and let the build rest when that is too far.

As soon as somebody is seen to feed it, the build gives way on its own machine too, to the workers, the relay and the servers that may run
there. Where a processor is free that costs nothing.
"""

from __future__ import annotations

import asyncio
import os
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log.bounds import find_bounds
from eventstore.postgres.engine import checkout
from eventstore.settings import KafkaSettings
from projections.control.catalogue import find_live
from projections.control.checkpoint import read_seen
from replay.construction.pace import Lag, Pace
from replay.settings import ReplaySettings

LOOK_S = 1.0


class Guard:
    """Watches the live generation of *projection*, whichever that is."""

    def __init__(self, engine: AsyncEngine, projection: str, kafka: KafkaSettings, settings: ReplaySettings) -> None:
        self._engine = engine
        self._projection = projection
        self._kafka = kafka
        self._settings = settings
        self._looked = 0.0
        self.lag = Lag()
        self.pace = Pace()

    @property
    def reason(self) -> str | None:
        """Why the build rests; None = it does not."""
        if self.pace.share == 1.0:
            return None
        return (
            f"for the live generation, {self.lag.records:,} records and {self.lag.seconds:.0f} s behind "
            f"(working {self.pace.share:.0%} of the time)"
        )

    async def rest(self, worked_s: float) -> None:
        """Rest after *worked_s* seconds of work, as long as the live generation needs it."""
        if time.monotonic() - self._looked >= LOOK_S:
            await self.look()
        if (pause := self.pace.pause(worked_s)) > 0:
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """See how far the live generation is behind, and set the pace."""
        self._looked = time.monotonic()
        async with checkout(self._engine) as connection:
            live = await find_live(connection, self._projection)
            seen = await read_seen(connection, live.id) if live else {}
        if live is None:
            return
        _, ends = await find_bounds(
            self._kafka, [(topic, number) for topic, count in live.topics.items() for number in range(count)]
        )
        now = time.monotonic()
        self.lag.observe(now, ends, seen)
        far = self.lag.records > self._settings.live_lag_records or self.lag.seconds > self._settings.live_lag_s
        fed = self.lag.is_fed(now)
        self.pace.judge(too_far=far and fed)
        if fed:
            give_way(self._settings.nice)


def give_way(nice: int) -> None:
    """Let others have the processor before this thread, and those that it starts from now on. Safe to repeat."""
    if hasattr(os, "setpriority") and os.getpriority(os.PRIO_PROCESS, 0) < nice:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
