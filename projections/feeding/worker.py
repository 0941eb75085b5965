"""Keeping generations current: one task per generation, any number of processes, partitions shared out by the consumer group.

A worker feeds only generations whose fingerprint equals its own code's, so that a new release never writes into an old
generation, nor an old release into a new one. What a worker believes is checked by the database at every commit (see
`checkpoint`): a worker that was stopped, cut off or replaced writes nothing and joins again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import Fenced, Unreachable
from eventstore.log.consumer import LogError, Membership, Partition
from eventstore.log.gate import GroupReader
from eventstore.moments import reach
from eventstore.postgres.engine import Connection, ConnectionLost, checkout
from eventstore.postgres.keys import opened_keyring
from eventstore.privacy.opener import Opener
from eventstore.settings import KafkaSettings
from projections.control.catalogue import describe_actor
from projections.control.checkpoint import read_owners, refuse_anew
from projections.control.generation import Generation
from projections.control.parking import Patience
from projections.copies import opened_copies
from projections.declaration.projection import Projection
from projections.effects.agent import Agent
from projections.feeding.coach import Coach, Seat
from projections.feeding.deriving import name_topics
from projections.feeding.pipeline import Pipeline
from projections.feeding.publisher import Publisher, publishing
from projections.feeding.pulse import Pulse
from projections.readmodels.policies import every_tenant
from projections.settings import ProjectionSettings

log = logging.getLogger(__name__)
REPORT_S = 1.0
FIRST_RECORDS = 500
"""Records of the first batch, before it is known how fast the handlers are."""
SILENT_S = 5.0
"""Seconds without a word after which an owner of another release counts as gone; it says something every second."""
MOST_RECORDS = 100_000
MENDED = 20
"""Parked keys that are tried again between two fetches, so that the live ones wait for no more."""
RETRY_S = 5.0
"""Seconds until a worker that could not mend its error is run again; whatever was wrong may have been put right by then."""
Transient = (*ConnectionLost, LogError, OSError, Unreachable)
"""What passes by itself: a server that restarts, a network that is cut."""


class Worker:
    """Feeds one generation until `stop`. `run` returns when stopped and raises what it can't mend."""

    def __init__(
        self,
        projection: Projection,
        generation: Generation,
        engine: AsyncEngine,
        kafka: KafkaSettings,
        settings: ProjectionSettings,
        coach: Coach | None = None,
    ) -> None:
        """Take what to feed; with a *coach* it reads in a pass with others."""
        self.projection = projection
        self.generation = generation
        self.fenced = 0
        self.applied = 0
        self.parked = 0
        self.mended = 0
        self._engine = engine
        self._kafka = kafka
        self._settings = settings
        self._coach = coach
        self._stopping = asyncio.Event()
        self._owner = f"{describe_actor()} worker" + (f", {coach.mark}" if coach else "")
        self._stands_by = False
        self._pipeline: Pipeline | None = None
        self._reader: GroupReader | None = None
        self._topic_ids: Mapping[str, UUID] = {}
        self._most = FIRST_RECORDS
        self._reported = 0.0
        self._ends: tuple[float, Mapping[Partition, int]] = (0.0, {})
        self.agent: Agent | None = None
        self.publisher = Publisher.of(generation, engine, kafka)
        self.partitions: list[Partition] = []
        self.pulse = Pulse(str(generation), time.monotonic())

    def stop(self) -> None:
        """Finish the batch in hand and leave the group; safe to repeat."""
        self._stopping.set()

    async def run(self) -> None:
        """Feed until stopped; lost connections are made anew after a growing pause."""
        pause = 0.1
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                await self._serve()
            except Transient as error:
                pause = 0.1 if time.monotonic() - started > 30 else min(pause * 2, 5.0)
                self.pulse.error = f"{type(error).__name__}: {error}"
                log.warning("%s: %s; trying again in %.1f s", self.generation, error, pause)
                await self.rest(pause)

    async def rest(self, seconds: float) -> bool:
        """Wait *seconds*, or until stopped; True = go on."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return not self._stopping.is_set()

    async def _serve(self) -> None:
        topics = name_topics(self.projection, self._kafka, self.generation.topics)
        async with (
            opened_keyring(self._engine) as keyring,
            checkout(self._engine) as connection,
            every_tenant(connection, self.projection),
            opened_copies(self.projection, self.generation) as copies,
            publishing(self.publisher) as publication,
        ):
            if keyring is None and self.projection.has_personal:
                log.warning("%s: no master key is configured, so personal fields read as [sealed]", self.generation)
            pipeline = self._make_pipeline(topics, connection, Opener(keyring))
            agent = Agent.of(self.projection, self.generation, self._engine, (self._kafka, self._settings), Opener(keyring))
            pipeline.dispatch = agent and agent.dispatch
            self.agent = agent
            pipeline.copies = copies
            reader = self._make_reader(sorted(topics.values()))
            self._pipeline, self._reader = pipeline, reader
            watching: asyncio.Task[None] | None = None
            try:
                await reader.open()
                watching = asyncio.create_task(self._watch(reader, pipeline))
                while not self._stopping.is_set():
                    await self._turn(reader, pipeline)
                    if watching.done():
                        watching.result()
                    if publication and publication.done():
                        publication.result()
            finally:
                if agent:
                    await agent.close()
                if watching is not None:
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)
                await reader.close()

    def _make_pipeline(self, topics: Mapping[str, str], connection: Connection, opener: Opener) -> Pipeline:
        pipeline = Pipeline(self.projection, self.generation, topics, connection, exclusive=False, opener=opener)
        chosen = self._settings
        pipeline.patience = Patience(chosen.retry_attempts, chosen.retry_s, chosen.retry_most_s)
        pipeline.hold_s = chosen.max_poll_s
        if self._coach is not None:
            self._coach.memo.share(pipeline.folder)
        return pipeline

    def _make_reader(self, topics: list[str]) -> GroupReader:
        if self._coach is not None:
            return cast("GroupReader", Seat(self._coach, self._claim))  # the same interface
        chosen = self._settings
        membership = Membership(chosen.instance, chosen.session_s, chosen.max_poll_s)
        group, size = self.generation.consumer_group, chosen.batch_bytes
        return GroupReader(self._kafka, group, topics, self._claim, membership=membership, most_bytes=size)

    async def _claim(self, partitions: list[Partition]) -> Mapping[Partition, int]:
        assert self._pipeline is not None
        assert self._reader is not None
        self._topic_ids = await self._reader.topic_ids()
        start = await self._pipeline.claim(partitions, self._owner, self._topic_ids)
        if self.agent:
            await self.agent.tend(self._pipeline.held)
        self.partitions = sorted(partitions)
        log.info("%s: %d partitions claimed", self.generation, len(partitions))
        return start

    async def _turn(self, reader: GroupReader, pipeline: Pipeline) -> None:
        batch = await reader.poll(self._settings.poll_s, self._most)
        try:
            if batch:
                reach("batch.fetched")
                started = time.monotonic()
                await pipeline.apply(batch, await reader.seen())
                self.pulse.committed = time.monotonic()
                if self.agent:
                    self.agent.wake()
                if self.publisher:
                    self.publisher.wake()
                self._most = adapt_size(
                    self._most, sum(map(len, batch.values())), self.pulse.committed - started, self._settings.batch_s
                )
            if reader.is_open and time.monotonic() - self._reported > REPORT_S:
                await self._report(reader, pipeline)
        except Fenced as error:
            self.fenced += 1
            log.warning("%s: %s", self.generation, error)
            await self._rejoin(reader, pipeline)
        self.applied, self.parked, self.mended = pipeline.applied, pipeline.parked, pipeline.mended
        self.pulse.turn(time.monotonic(), is_open=reader.is_open or self._stands_by)
        if self._stands_by:
            await self._look_again(reader, pipeline)

    async def _rejoin(self, reader: GroupReader, pipeline: Pipeline) -> None:
        """Join again after being fenced, or stand by while it is another release's pass that feeds this generation too, and lives.

        Two passes share no group, so each takes all partitions from the other: whoever was fenced yields, and takes them back
        when the other falls silent.
        """
        self._stands_by = self._coach is not None and await self._is_fed_elsewhere(pipeline)
        if isinstance(reader, Seat) and self._stands_by:
            log.info("%s: another release feeds it; standing by", self.generation)
            reader.stand_by()
        else:
            reader.rejoin()

    async def _look_again(self, reader: GroupReader, pipeline: Pipeline) -> None:
        if reader.is_open:
            self._stands_by = False
        elif time.monotonic() - self._reported > REPORT_S:
            self._reported = self.pulse.committed = time.monotonic()
            if not await self._is_fed_elsewhere(pipeline) and isinstance(reader, Seat):
                self._stands_by = False
                reader.return_now()

    async def _is_fed_elsewhere(self, pipeline: Pipeline) -> bool:
        """Say whether another release's pass owns partitions of this worker, and said so a moment ago."""
        assert self._coach is not None
        async with checkout(self._engine) as connection:
            owners = await read_owners(connection, self.generation.id)
        mine = [owners[each] for each in pipeline.held if each in owners]
        return any(
            ", pass " in each.owner and not each.owner.endswith(self._coach.mark) and each.age_s < SILENT_S for each in mine
        )

    async def _report(self, reader: GroupReader, pipeline: Pipeline) -> None:
        """Renew the claim, note how far the log was read, and try the parked keys whose time has come. Waits for no broker."""
        await pipeline.note_seen(await reader.seen())
        if pipeline.awaits_ends and self._ends[1]:
            await pipeline.end_snapshots(*self._ends)
        filled = self.agent is None or await self.agent.tend(pipeline.held)
        await pipeline.copies.tend(pipeline.held)
        self.pulse.copies = pipeline.copies.describe()
        self.pulse.committed = time.monotonic()
        due = await pipeline.find_due(MENDED)
        for each in due:
            log.info("%s: %d parked records applied from %s", self.generation, await pipeline.mend(each), each)
        self._reported = 0.0 if len(due) == MENDED or not filled else time.monotonic()

    async def _watch(self, reader: GroupReader, pipeline: Pipeline) -> None:
        """Ask Kafka every second where the log ends: an answer is the sign of life that an empty fetch is not.

        Raises HistoryIncomplete when a topic was made anew under its name.
        """
        everywhere = [(topic, each) for topic, count in self.generation.topics.items() for each in range(count)]
        while True:
            with contextlib.suppress(LogError, TimeoutError):
                looked_at = time.monotonic()
                async with asyncio.timeout(self._settings.slow_s):
                    ends, found = await reader.ends(everywhere), await reader.topic_ids()
                self._ends = looked_at, ends
                anew = [topic for topic, known in self._topic_ids.items() if found.get(topic, known) != known]
                if anew:
                    raise refuse_anew(anew[0])
                seen = await reader.seen() if reader.is_open else {}
                lag = sum(max(0, ends[each] - seen[each]) for each in seen if each in ends)
                self.pulse.hear(time.monotonic(), lag, pipeline.applied)
                async with asyncio.timeout(self._settings.slow_s):
                    await reader.tell_progress({each: seen[each] for each in pipeline.held if each in seen})
            await asyncio.sleep(REPORT_S)


def adapt_size(size: int, records: int, took_s: float, goal_s: float) -> int:
    """Give how many records the next batch may have, when one of *records*, of *size* at most, took *took_s* seconds. Pure."""
    if took_s > goal_s:
        return max(1, int(records * goal_s / took_s))
    return min(MOST_RECORDS, size * 4) if records >= size and took_s < goal_s / 4 else size


class Supervised:
    """A worker and the task that runs it, again after every error: it ends only when it is stopped."""

    def __init__(self, worker: Worker, on_error: Callable[[Worker, Exception], None]) -> None:
        self.worker = worker
        self._on_error = on_error
        self.task = asyncio.create_task(self._run(), name=str(worker.generation))

    async def _run(self) -> None:
        going = True
        while going:
            try:
                await self.worker.run()
                going = False
            except Exception as error:
                self.worker.pulse.error = f"{type(error).__name__}: {error}"
                self._on_error(self.worker, error)
                going = await self.worker.rest(RETRY_S)

    async def stop(self, within_s: float) -> None:
        """Stop the worker and wait until it left; a batch that is not finished *within_s* seconds is rolled back."""
        self.worker.stop()
        _, hanging = await asyncio.wait([self.task], timeout=within_s)
        if hanging:
            log.warning("%s: its batch did not end within %.0f s and is rolled back", self.worker.generation, within_s)
            self.task.cancel()
            await asyncio.wait([self.task])
