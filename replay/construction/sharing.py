"""The part of a build that several processes do side by side: how far they go, and who gets which partitions.

It ends where the live generation is, or the log was when it began. The rest is built by the run alone, after everybody is done.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import encode
from eventstore.log.bounds import find_bounds
from eventstore.postgres.engine import checkout
from eventstore.settings import KafkaSettings
from projections.control.catalogue import find_live, move
from projections.control.checkpoint import Partition, Vector, read_vector
from projections.control.generation import Generation, State
from projections.declaration.projection import Projection
from projections.feeding.deriving import name_topics
from projections.readmodels.postgres import ReadModel
from replay.choice import Choices
from replay.construction.builder import Tell
from replay.construction.crew import Crew, find_obstacle, group_partitions, share_out
from replay.construction.member import Member
from replay.construction.part import fold_part
from replay.plan import Plan
from replay.progress import Reporter


class Sharing:
    """Shares builds of *projection* out to this process and *members*, which wait for their task."""

    def __init__(
        self, projection: Projection, engine: AsyncEngine, reporter: Reporter, choices: Choices, members: Sequence[Member]
    ) -> None:
        self._projection = projection
        self._engine = engine
        self._reporter = reporter
        self._choices = choices
        self._members = members

    async def build(self, generation: Generation, plan: Plan, tell: Tell, *, whole: bool) -> int:
        """Build what can be shared out; give how many records were applied. *whole*: the log has all that is to be read."""
        names = name_topics(self._projection, KafkaSettings(), generation.topics)
        counts = {source: generation.topics[topic] for source, topic in names.items()}
        obstacle = (
            find_obstacle(self._projection, counts)
            or (None if whole else "the store is read in one order")
            or ("no --app is named that they could load" if not self._choices.app else None)
        )
        if obstacle or generation.state not in {State.CREATED, State.BUILDING}:
            self._reporter.step("processes", f"one: {obstacle or 'this build is almost done'}")
            return 0
        goal, here = await self._find_reach(generation, plan)
        goal = {each: max(offset, here.get(each, 0)) for each, offset in goal.items()}
        groups = [[(names[source], number) for source, number in each] for each in group_partitions(self._projection, counts)]
        shares = share_out(groups, {each: offset - here.get(each, 0) for each, offset in goal.items()}, 1 + len(self._members))
        if len(shares) < 2:
            self._reporter.step("processes", "one: fewer than two partitions that share no rows have something left to read")
            return 0
        await self._begin(generation, anew=not any(here.values()))
        done = sum(here.values()) - sum(here.get(each, 0) for share in shares for each in share)
        members = self._members[: len(shares) - 1]
        pids = [os.getpid(), *(each.pid for each in members)]
        self._reporter.step("processes", f"{len(shares)} (pids {', '.join(map(str, pids))})", pids=pids)
        crew = Crew(generation, members, lambda count, stall: tell(done + count, plan.records, stall))
        mine, *others = [self._describe(generation, share, goal) for share in shares]
        return await crew.build([encode(each) for each in others], self._fold(mine, crew))

    async def _fold(self, task: dict[str, Any], crew: Crew) -> int:
        built = await fold_part(self._engine, task, lambda done, _, stall: crew.hear(0, done, stall))
        crew.hear(0, built.done, None)
        return built.applied

    def _describe(self, generation: Generation, share: Sequence[Partition], goal: Vector) -> dict[str, Any]:
        return {
            "app": self._choices.app,
            "projection": generation.projection,
            "generation": generation.id,
            "archive": self._choices.archive,
            "goal": [[topic, number, goal[topic, number]] for topic, number in share],
        }

    async def _begin(self, generation: Generation, *, anew: bool) -> None:
        """Say that it is building, and drop the keys of empty tables while there is one process."""
        async with checkout(self._engine) as connection:
            if generation.state is not State.BUILDING:
                await move(connection, generation, State.BUILDING)
            if anew:
                async with connection.transaction():
                    await ReadModel(self._projection, generation.schema_name).drop_keys(connection)

    async def _find_reach(self, generation: Generation, plan: Plan) -> tuple[Vector, Vector]:
        """Give how far a build may go by itself, and where it stands."""
        partitions = [(topic, number) for topic, count in generation.topics.items() for number in range(count)]
        _, ends = await find_bounds(KafkaSettings(), partitions)
        async with checkout(self._engine) as connection:
            here = await read_vector(connection, generation.id)
            live = await find_live(connection, self._projection.name)
            reached = await read_vector(connection, live.id) if live else {}
        if plan.bound:
            return plan.bound.vector, here
        goal = {each: reached.get(each, 0) if live and each[0] in live.topics else ends[each] for each in partitions}
        return goal, here
