"""A replay from its plan to its end: build beside the live generation, verify at one vector, swap, hand over to the workers.

Every step leaves its mark in the catalogue before the next begins, so a run that was killed anywhere is resumed by running it
again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import Fenced, PreconditionFailed, UsageError, VerificationFailed
from eventstore.log.admin import Admin
from eventstore.log.consumer import AssignedReader, find_bounds, find_partitions
from eventstore.log.topics import require_kept
from eventstore.moments import reach
from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load
from eventstore.settings import KafkaSettings
from projections.catalogue import add_detail, create_generation, find_live, list_generations, move
from projections.checkpoint import Vector, has_reached, read_vector
from projections.fingerprint import fingerprint
from projections.generation import Generation, State
from projections.parking import count_parked
from projections.pipeline import Pipeline
from projections.projection import Projection
from projections.readmodels.postgres import create_indexes, create_tables
from projections.readmodels.views import create_views
from projections.worker import name_topics
from replay.build import Builder
from replay.cutover import Swap, swap
from replay.plan import Plan, Step, make_plan
from replay.progress import Reporter
from replay.settings import ReplaySettings
from replay.verify import Report, compare


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator chose."""

    swap: bool = True
    accept_parked: bool = False
    accept_differences: bool = False
    grace_s: float = 900.0


class Replay:
    """One projection's replay with this process's code."""

    def __init__(
        self,
        projection: Projection,
        engine: AsyncEngine,
        reporter: Reporter,
        *,
        kafka: KafkaSettings,
        settings: ReplaySettings,
        choices: Choices,
    ) -> None:
        self.projection = projection
        self.fingerprint = fingerprint(projection)
        self._engine = engine
        self._reporter = reporter
        self._kafka = kafka
        self._settings = settings
        self._choices = choices
        self._topics = name_topics(projection, kafka)

    async def plan(self) -> Plan:
        """Look at the catalogue and the log, change nothing, and say what `run` would do."""
        partitions = await find_partitions(self._kafka, sorted(self._topics.values()))
        wanted = [(topic, number) for topic, count in partitions.items() for number in range(count)]
        first, end = await find_bounds(self._kafka, wanted)
        async with Admin.open(self._kafka) as admin:
            for topic in partitions:
                require_kept(topic, await admin.configuration(topic))
        async with checkout(self._engine) as connection:
            known = await list_generations(connection, self.projection.name)
        identity = (self.projection.name, self.projection.version, self.fingerprint)
        return make_plan(known, identity, {each: (first[each], end[each]) for each in wanted})

    async def run(self, plan: Plan) -> dict[str, Any]:
        """Carry *plan* out and give the facts of the outcome. Raises VerificationFailed with the live generation untouched."""
        started = time.monotonic()
        if plan.step is Step.FINISH:
            assert plan.target is not None
            await create_views(self._engine, self.projection, plan.target)
            await self._finish(plan.target)
            return {"projection": self.projection.name, "generation": plan.target.number, "state": "live", "already": True}
        generation = await self._prepare(plan)
        async with checkout(self._engine) as connection:
            pipeline = Pipeline(self.projection, generation, self._topics, connection, exclusive=True)
            reader = AssignedReader(self._kafka, generation.consumer_group)
            builder = Builder(pipeline, reader, self._settings, self._tell)
            try:
                await builder.open()
                return await self._carry_out(generation, builder, pipeline, started)
            finally:
                await builder.close()

    def _tell(self, done: int, total: int, stall: str | None) -> None:
        self._reporter.advance("build", done, total, stall=stall)

    async def _carry_out(self, generation: Generation, builder: Builder, pipeline: Pipeline, started: float) -> dict[str, Any]:
        generation = await self._build(generation, builder)
        took = time.monotonic() - started
        rate = round(pipeline.applied / took) if took else 0
        self._reporter.step(
            "build", f"{pipeline.applied:,} records in {took:.1f} s ({rate:,}/s)", records=pipeline.applied, seconds=took
        )
        report = await self._verify(generation, builder)
        generation = await self._judge(generation, report)
        facts: dict[str, Any] = {"projection": self.projection.name, "generation": generation.number, "records": pipeline.applied}
        facts |= {"build_s": round(took, 3), "rate": rate, "verification": report.facts()}
        if not self._choices.swap:
            return {**facts, "state": str(generation.state)}
        await builder.catch_up()
        swapped = await self._swap(generation, builder, report)
        await self._hand_over(swapped.live, builder)
        await self._finish(swapped.live)
        return {
            **facts,
            "state": "live",
            "swap_held_s": round(swapped.held_s, 4),
            "seconds": round(time.monotonic() - started, 3),
        }

    async def _prepare(self, plan: Plan) -> Generation:
        async with checkout(self._engine) as connection:
            for each in plan.abandoned:
                await move(connection, each, State.FAILED)
                self._reporter.step("abandon", f"{each} was built by other code ({each.fingerprint}); `replay gc` drops it")
            target = plan.target or await create_generation(connection, self._describe(plan))
        reach("replay.generation_created")
        async with self._engine.begin() as transaction:
            await create_tables(transaction, self.projection, target.schema_name)
        reach("replay.tables_created")
        self._reporter.step("prepare", f"{target}: tables in {target.schema_name}, consumer group {target.consumer_group}")
        return target

    def _describe(self, plan: Plan) -> Mapping[str, Any]:
        return {
            "projection": self.projection.name,
            "slug": self.projection.slug,
            "prefix": self._kafka.topic_prefix,
            "version": self.projection.version,
            "fingerprint": self.fingerprint,
            "topics": dict(plan.topics),
            "detail": {"replay": "building", "records": plan.records},
        }

    async def _build(self, generation: Generation, builder: Builder) -> Generation:
        generation = await self._move(generation, State.BUILDING)
        moved = self._settings.near_records + 1
        while moved > self._settings.near_records:
            before = sum(builder.vector.values())
            await self._approach(builder)
            moved = sum(builder.vector.values()) - before
        await builder.finish()
        async with self._engine.begin() as transaction:
            await create_indexes(transaction, self.projection, generation.schema_name)
        await builder.report()
        generation = await self._move(generation, State.CAUGHT_UP)
        reach("replay.caught_up")
        return generation

    async def _approach(self, builder: Builder) -> None:
        """Go up to where the live generation is and no further, so that both can be compared there; without one, to the end."""
        async with checkout(self._engine) as connection:
            live = await find_live(connection, self.projection.name)
            goal = await self._find_goal(connection, live, builder) if live else None
        if goal is None:
            await builder.catch_up()
        else:
            await builder.advance_to(goal)

    async def _find_goal(self, connection: Any, live: Generation, builder: Builder) -> Vector:
        vector = await read_vector(connection, live.id)
        new = [each for each in builder.partitions if each[0] not in live.topics]
        ends = await builder.last_records(new)
        return {each: ends[each] if each in ends else vector.get(each, 0) for each in builder.partitions}

    async def _verify(self, generation: Generation, builder: Builder) -> Report:
        started = time.monotonic()
        report = Report()
        async with checkout(self._engine) as live_side, checkout(self._engine) as new_side:
            live = await find_live(live_side, self.projection.name)
            if live is not None and await self._can_compare(live_side, live, generation, builder):
                async with live_side.transaction():
                    await live_side.execute(load("replay", "begin_snapshot"))
                    await live_side.execute(load("replay", "allow_idling"))
                    await builder.advance_to(await self._find_goal(live_side, live, builder))
                    async with new_side.transaction():
                        sides = (live.schema_name, live_side), (generation.schema_name, new_side)
                        report = await compare(self.projection, *sides, samples=self._settings.samples)
        report.failed_checks = await self._run_checks(generation)
        took = time.monotonic() - started
        for each in report.tables or ["no live generation to compare with"]:
            self._reporter.step("verify", f"{each}")
        self._reporter.step(
            "verify", f"{'equal' if report.is_equal else 'different'} in {took:.1f} s", seconds=took, equal=report.is_equal
        )
        return report

    async def _can_compare(self, connection: Any, live: Generation, generation: Generation, builder: Builder) -> bool:
        """Wait until *live* is where the build is, if it is behind, as after a run that was killed on its way to the swap.

        False when it does not come and the comparison was made already, at an earlier vector, or decides nothing.
        Raises PreconditionFailed when it is still needed.
        """
        shared = {each: offset for each, offset in builder.vector.items() if each[0] in live.topics}
        until = time.monotonic() + (0 if generation.detail.get("verified") else self._settings.swap_s)
        while not has_reached(vector := await read_vector(connection, live.id), shared):
            if time.monotonic() < until:
                await asyncio.sleep(0.05)
                continue
            behind = sum(max(0, offset - vector.get(each, 0)) for each, offset in shared.items())
            if live.fingerprint == self.fingerprint and not generation.detail.get("verified"):
                raise PreconditionFailed(
                    f"{live} is {behind:,} records behind {generation}, so they can't be compared. Start `projections run` of the "
                    "release that is live, then run this again; what is built stays."
                )
            self._reporter.step("verify", f"not compared again: {live} is {behind:,} records behind and nothing feeds it")
            return False
        return True

    async def _run_checks(self, generation: Generation) -> list[str]:
        failed: list[str] = []
        async with self._engine.connect() as plain:
            bound = await plain.execution_options(schema_translate_map={self.projection.slug: generation.schema_name})
            for check in self.projection.checks:
                found = (await bound.execute(check.query().limit(3))).mappings().all()
                if found:
                    failed.append(f"{check.name}: {[dict(each) for each in found]}")
        return failed

    async def _judge(self, generation: Generation, report: Report) -> Generation:
        async with checkout(self._engine) as connection:
            parked = await count_parked(connection, generation.id)
            live = await find_live(connection, self.projection.name)
        if parked and not self._choices.accept_parked:
            raise VerificationFailed(
                f"{generation} has {parked} parked records, so it was not swapped in (see `projections parked`). "
                " Mend the handler and replay again, or accept them with --accept-parked.",
                parked=parked,
            )
        if report.failed_checks:
            raise VerificationFailed(
                f"{generation} fails its checks: {'; '.join(report.failed_checks)}. The live generation still serves."
            )
        same_code = live is not None and live.fingerprint == self.fingerprint
        if same_code and not report.is_equal and not self._choices.accept_differences:
            raise VerificationFailed(
                f"{generation} was built by the same code as {live} but holds other rows: {'; '.join(map(str, report.tables))}. "
                "Either the live rows were changed by hand or a handler isn't deterministic. Swap all the same with --accept-differences.",
                **report.facts(),
            )
        generation = await self._move(generation, State.VERIFIED)
        async with checkout(self._engine) as connection:
            await add_detail(connection, generation, {"verified": True})
        reach("replay.verified")
        return generation

    async def _swap(self, generation: Generation, builder: Builder, report: Report) -> Swap:
        swapped = await swap(
            self._engine,
            generation,
            builder.advance_to,
            action="swap",
            grace_s=self._choices.grace_s,
            limit_s=self._settings.swap_s,
            detail={"equal": report.is_equal},
            mark="swapped",
        )
        await create_views(self._engine, self.projection, swapped.live)
        was = f"{swapped.retired} -> " if swapped.retired else ""
        self._reporter.step(
            "swap", f"{was}{swapped.live} live (writers held {swapped.held_s * 1000:.0f} ms)", held_s=swapped.held_s
        )
        return swapped

    async def _hand_over(self, generation: Generation, builder: Builder) -> None:
        until = time.monotonic() + self._settings.handover_s
        try:
            while time.monotonic() < until:
                await builder.feed()
                if await self._is_taken(generation):
                    raise Fenced
        except Fenced:
            self._reporter.step("hand over", "a worker feeds it now")
            return
        self._reporter.step("hand over", f"no worker of this release feeds it yet: start `projections run` ({self.fingerprint})")

    async def _is_taken(self, generation: Generation) -> bool:
        async with checkout(self._engine) as connection:
            found = await (await connection.execute(load("replay", "count_owners"), {"generation": generation.id})).fetchone()
        await asyncio.sleep(0)
        return bool(found and found[0])

    async def _finish(self, generation: Generation) -> None:
        await self._note(generation, "finished")

    async def _note(self, generation: Generation, state: str) -> None:
        async with checkout(self._engine) as connection:
            await add_detail(connection, generation, {"replay": state})

    async def _move(self, generation: Generation, there: State) -> Generation:
        if generation.state is there:
            return generation
        async with checkout(self._engine) as connection:
            return await move(connection, generation, there)


def require_beginning(*, from_beginning: bool) -> None:
    """Refuse a replay that does not say from where: it must never start from zero by accident."""
    if not from_beginning:
        raise UsageError("say from where: --from-beginning rebuilds the projection from offset zero beside the live one")
