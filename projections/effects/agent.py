"""What a worker has for the effects of its projection: the ledger, who fills it, and who carries out what is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import checkout
from eventstore.privacy.opener import Opener
from eventstore.settings import KafkaSettings
from projections.control.checkpoint import Claim, Partition
from projections.control.generation import Generation
from projections.declaration.projection import Projection
from projections.effects.backfill import Backfill
from projections.effects.dispatch import Dispatch
from projections.effects.executor import Executor
from projections.settings import ProjectionSettings


class Agent:
    """The effects of one generation in one process. It does nothing while another generation is live."""

    def __init__(self, dispatch: Dispatch, backfill: Backfill, executor: Executor, engine: AsyncEngine) -> None:
        self.dispatch = dispatch
        self.executor = executor
        self._backfill = backfill
        self._engine = engine
        self._running = asyncio.create_task(executor.run())

    @classmethod
    def of(
        cls,
        projection: Projection,
        generation: Generation,
        engine: AsyncEngine,
        settings: tuple[KafkaSettings, ProjectionSettings],
        opener: Opener,
    ) -> Agent | None:
        """Start the agent of *generation*; None = the projection has no effects."""
        if not projection.effects:
            return None
        dispatch = Dispatch(projection.name, projection.effects, generation.id)
        backfill = Backfill(projection, generation, dispatch, settings[0])
        return cls(dispatch, backfill, Executor(projection, dispatch, engine, settings[1], opener), engine)

    async def tend(self, held: Mapping[Partition, Claim]) -> bool:
        """Let effects begin, write down what lies between vector and checkpoint for a second, and say whether nothing is left.

        Raises Fenced as a batch does, and whatever ended the executor.
        """
        if self._running.done():
            self._running.result()
        async with checkout(self._engine) as connection:
            done = await self._backfill.tend(connection, held)
        self.wake()
        return done

    def wake(self) -> None:
        """Look for effects at once."""
        self.executor.wake()

    async def close(self) -> None:
        """Take no more, and return when those in hand are done."""
        self.executor.stop()
        await asyncio.gather(self._running, return_exceptions=True)
