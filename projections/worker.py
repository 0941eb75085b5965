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

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import Fenced, Unreachable
from eventstore.log.consumer import LogError, Partition
from eventstore.log.gate import GroupReader
from eventstore.postgres.engine import ConnectionLost, checkout
from eventstore.postgres.keys import opened_keyring
from eventstore.privacy.opener import Opener
from eventstore.settings import KafkaSettings
from projections.catalogue import describe_actor
from projections.generation import Generation
from projections.pipeline import Pipeline
from projections.projection import Projection
from projections.readmodels.policies import every_tenant
from projections.settings import ProjectionSettings

log = logging.getLogger(__name__)
REPORT_S = 1.0
RETRY_S = 5.0
"""Seconds until a worker that could not mend its error is run again; whatever was wrong may have been put right by then."""
Transient = (*ConnectionLost, LogError, OSError, Unreachable)
"""What passes by itself: a server that restarts, a network that is cut."""


def name_topics(projection: Projection, settings: KafkaSettings) -> dict[str, str]:
    """Give the topic of each source of *projection*, by the source's name."""
    return {each.name: each.topic(settings) for each in projection.sources}


class Worker:
    """Feeds one generation until `stop`. `run` returns when stopped and raises what it can't mend."""

    def __init__(
        self,
        projection: Projection,
        generation: Generation,
        engine: AsyncEngine,
        kafka: KafkaSettings,
        settings: ProjectionSettings,
    ) -> None:
        self.projection = projection
        self.generation = generation
        self.fenced = 0
        self.applied = 0
        self.parked = 0
        self._engine = engine
        self._kafka = kafka
        self._settings = settings
        self._stopping = asyncio.Event()
        self._owner = f"{describe_actor()} worker"
        self._pipeline: Pipeline | None = None
        self._reported = 0.0
        self.partitions: list[Partition] = []

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
                log.warning("%s: %s; trying again in %.1f s", self.generation, error, pause)
                await self.rest(pause)

    async def rest(self, seconds: float) -> bool:
        """Wait *seconds*, or until stopped; True = go on."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return not self._stopping.is_set()

    async def _serve(self) -> None:
        topics = name_topics(self.projection, self._kafka)
        async with (
            opened_keyring(self._engine) as keyring,
            checkout(self._engine) as connection,
            every_tenant(connection, self.projection),
        ):
            if keyring is None and self.projection.has_personal:
                log.warning("%s: no master key is configured, so personal fields read as [sealed]", self.generation)
            opener = Opener(keyring)
            pipeline = Pipeline(self.projection, self.generation, topics, connection, exclusive=False, opener=opener)
            self._pipeline = pipeline
            reader = GroupReader(self._kafka, self.generation.consumer_group, sorted(topics.values()), self._claim)
            try:
                await reader.open()
                while not self._stopping.is_set():
                    await self._turn(reader, pipeline)
            finally:
                await reader.close()

    async def _claim(self, partitions: list[Partition]) -> Mapping[Partition, int]:
        assert self._pipeline is not None
        start = await self._pipeline.claim(partitions, self._owner)
        self.partitions = sorted(partitions)
        log.info("%s: %d partitions claimed", self.generation, len(partitions))
        return start

    async def _turn(self, reader: GroupReader, pipeline: Pipeline) -> None:
        batch = await reader.poll(self._settings.poll_s)
        try:
            if batch:
                await pipeline.apply(batch, await reader.seen())
            if reader.is_open and time.monotonic() - self._reported > REPORT_S:
                await self._report(reader, pipeline)
        except Fenced as error:
            self.fenced += 1
            log.warning("%s: %s", self.generation, error)
            reader.rejoin()
        self.applied, self.parked = pipeline.applied, pipeline.parked

    async def _report(self, reader: GroupReader, pipeline: Pipeline) -> None:
        self._reported = time.monotonic()
        seen = await reader.seen()
        await pipeline.note_seen(seen)
        await reader.tell_progress({each: seen[each] for each in pipeline.held if each in seen})


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
                self._on_error(self.worker, error)
                going = await self.worker.rest(RETRY_S)

    async def stop(self) -> None:
        """Stop the worker and wait until it left."""
        self.worker.stop()
        await asyncio.wait([self.task])
