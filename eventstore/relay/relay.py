"""The relay: reads all events in order and publishes them in Kafka transactions, beside other relays if there are any.

Relays share the topic's shards: an advisory lock says who should write to a shard, the shard's transactional id who can. Where a
shard stands is its newest committed record, read after the previous owner was fenced. Hence a crash at any point neither loses
nor repeats an event, and a relay that wakes up late writes nothing. A relay without a shard waits, and steps in when one is free.

It polls, because a NOTIFY in the append transaction would make writers queue for one lock at commit; the interval is short while
events come and grows while none do. ADR 0012 has the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from psycopg import Error as PostgresError
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import Fenced, HeldElsewhere, TimedOut, Unreachable
from eventstore.log.hanging import watching
from eventstore.log.topics import ensure_events_topic
from eventstore.postgres.pages import TextRow
from eventstore.postgres.refusals import is_lost
from eventstore.postgres.routes import find_route
from eventstore.postgres.shards import Seats
from eventstore.relay.ahead import Pages
from eventstore.relay.share import END, count_shards, find_partitions
from eventstore.relay.stand import find_stands, note_stands
from eventstore.relay.team import Team
from eventstore.relay.writer import Writer
from eventstore.settings import KafkaSettings, RelaySettings
from eventstore.stream import START, Position

log = logging.getLogger(__name__)
_GROWTH = 1.5
_RETRY_S = (0.1, 5.0)
_CLAIM_S = 0.05
_ROUTE_S = 1.0
_STAND_BY_S = 30.0


@dataclass(slots=True)
class Progress:
    """Where a relay stands: *published* events since it started, the *position* of the last, its *restarts*, and its *shards*."""

    published: int = 0
    position: Position = START
    restarts: int = 0
    shards: list[int] = field(default_factory=list[int])


class Relay:
    """Publishes the events of the store behind *engine*, and shares the work with all other relays of the same topic."""

    def __init__(self, engine: AsyncEngine, kafka: KafkaSettings | None = None, settings: RelaySettings | None = None) -> None:
        self._engine = engine
        self._kafka = kafka or KafkaSettings()
        self._settings = settings or RelaySettings()
        self._topic = self._kafka.events_topic
        self._shards = count_shards(self._kafka.partitions)
        self._void = 0
        self.progress = Progress()

    async def run(self, stop: asyncio.Event) -> Progress:
        """Relay until *stop* is set; the transactions in hand are finished first.

        Servers that fail are waited for, with growing pauses. Raises PreconditionFailed when the topic is not this store's or not
        fit to hold it.
        """
        pause = _RETRY_S[0]
        while not stop.is_set():
            before = self.progress.published
            try:
                if await self._session(stop):
                    await self._stand_by(stop)
            except (Unreachable, TimedOut, Fenced, PostgresError) as error:
                if isinstance(error, PostgresError) and not is_lost(error):
                    raise
                pause = _RETRY_S[0] if self.progress.published > before else min(pause * 2, _RETRY_S[1])
                self.progress.restarts += 1
                log.warning("relay starts again in %.1f s: %s", pause, error)
                await _wait(stop, pause)
        return self.progress

    async def drain(self, patience_s: float | None = None) -> Progress:
        """Relay all that is readable now, then return.

        Raises like `run`, and Unreachable; HeldElsewhere when another relay keeps a shard for *patience_s* (by default a lease and
        a second), and Fenced when one takes a shard over meanwhile.
        """
        async with self._team() as team, self._writing() as writer:
            await self._claim(team, self._settings.lease_s + 1 if patience_s is None else patience_s)
            async with self._reading(writer, team.held) as pages:
                while page := await pages.take(writer.position):
                    if await self._publish(writer, page):
                        raise Fenced("another relay took over: it goes on where this one stood, and gets nothing twice.")
            await note_stands(self._kafka, writer.stands)
        return self.progress

    async def _session(self, stop: asyncio.Event) -> bool:
        """Join the other relays and publish to the shards that fall to this one, until stopped or broken.

        True = Debezium carries the events from here on, and all before it are in the log.
        """
        async with self._team() as team, self._writing() as writer:
            await team.join()
            done = False
            while not done and not stop.is_set():
                if team.is_settled(set()):
                    await team.wait()
                    continue
                done = await self._serve(team, writer, stop)
                excess = team.excess
                await writer.drop(excess | (writer.held - team.held))
                await team.free(excess)
            await note_stands(self._kafka, writer.stands)
        self.progress.shards = []
        return done

    async def _serve(self, team: Team, writer: Writer, stop: asyncio.Event) -> bool:
        """Publish to the present shards until they change; True = nothing is left to publish before Debezium's first event."""
        held = set(team.held)
        self.progress.shards = sorted(held)
        delay, looked = self._settings.poll_s, 0.0
        async with self._reading(writer, held) as pages, self._keeping(writer) as suspected:
            while not stop.is_set() and team.is_settled(held):
                if suspected.is_set():
                    suspected.clear()
                    await writer.settle(writer.stands)
                if page := await pages.take(writer.position):
                    delay = self._settings.poll_s
                    await team.free(await self._publish(writer, page))
                    continue
                now = time.monotonic()
                if now - looked > _ROUTE_S:
                    looked = now
                    if await self._is_carried():
                        return True
                await _wait(stop, delay)
                delay = min(delay * _GROWTH, self._settings.idle_poll_s)
        return False

    def _keeping(self, writer: Writer) -> AbstractAsyncContextManager[asyncio.Event]:
        """Look beside the work whether a transaction hangs, and note where shards stand."""

        def find_own() -> list[int]:
            own = [shard for shard, stand in writer.stands.items() if stand < END]
            return [each for shard in own for each in find_partitions(shard, self._kafka.partitions)]

        def note() -> Awaitable[None]:
            return note_stands(self._kafka, writer.stands)

        return watching(self._kafka, self._topic, find_own, self._settings.note_s, note)

    async def _publish(self, writer: Writer, page: list[TextRow]) -> list[int]:
        """Publish *page* and give the shards that another relay took over meanwhile."""
        published, lost = await writer.publish(page)
        self.progress.published += published
        self.progress.position = Position(page[-1][2], page[-1][3])
        if lost:
            log.warning("another relay took over shards %s of %s: nothing more is written to them here", lost, self._topic)
        return lost

    async def _is_carried(self) -> bool:
        route = await find_route(self._engine, self._topic)
        return route is not None and not route.settled and route.readable

    async def _stand_by(self, stop: asyncio.Event) -> None:
        """Wait while Debezium carries the events; look again now and then, in case a relay died before it had finished."""
        log.warning("Debezium carries the events of %s; this relay waits until `cdc route off`", self._topic)
        deadline = time.monotonic() + _STAND_BY_S
        while not stop.is_set() and time.monotonic() < deadline and await self._is_carried():
            await _wait(stop, _ROUTE_S)

    async def _claim(self, team: Team, patience_s: float) -> None:
        """Take every shard, in order, so that two that drain do not wait for each other."""
        deadline = time.monotonic() + patience_s
        for shard in range(self._shards):
            while not await team.claim(shard):
                if time.monotonic() > deadline:
                    raise HeldElsewhere(
                        f"shard {shard} of topic {self._topic} is relayed by {team.describe_owner(shard)}, which publishes what comes: "
                        "there is nothing to drain. Stop that relay first if this one is to do it.",
                        shard=shard,
                    )
                await asyncio.sleep(_CLAIM_S)

    @asynccontextmanager
    async def _team(self) -> AsyncGenerator[Team]:
        await ensure_events_topic(self._kafka)
        settings = self._settings
        async with (
            Seats.open(self._engine, self._topic, settings.lease_s) as seats,
            Team(seats, self._shards, settings.watch_s) as team,
        ):
            yield team

    @asynccontextmanager
    async def _writing(self) -> AsyncGenerator[Writer]:
        writer = Writer(self._kafka, self._settings.source)
        try:
            yield writer
        finally:
            await writer.close()

    async def _take_over(self, writer: Writer, new: set[int]) -> None:
        """Write to the shards *new* from here on: fence who did, end what hangs, and find where they stand."""
        await writer.open(new)
        route = await find_route(self._engine, self._topic)
        looking = True
        while looking:
            stands = await find_stands(self._engine, self._kafka, route)
            found = {shard: stands[shard] if stands else START for shard in new}
            looking = await writer.settle(found)
            writer.stands |= found
            self._void = 0 if stands or route is None else route.id - (not route.settled)

    @asynccontextmanager
    async def _reading(self, writer: Writer, shards: set[int]) -> AsyncGenerator[Pages]:
        """Take over those of *shards* that are not written to yet, find where they stand, and read on from there."""
        if new := shards - writer.held:
            await self._take_over(writer, new)
        if writer.position < END:
            self.progress.position = max(self.progress.position, writer.position)
        pages = Pages(self._engine, self._settings, self._topic, self._void)
        try:
            yield pages
        finally:
            await pages.close()


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
