"""A replay from its plan to its end: build beside the live generation, verify at one vector, swap, hand over to the workers.

Every step leaves its mark in the catalogue before the next begins, so a run that was killed anywhere is resumed by running it
again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import Fenced, UsageError
from eventstore.log.admin import Admin
from eventstore.log.assigned import AssignedReader
from eventstore.log.bounds import find_bounds, find_partitions
from eventstore.log.sizes import measure_topics
from eventstore.moments import reach
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.keys import opened_keyring
from eventstore.postgres.statements import load
from eventstore.privacy.opener import Opener
from eventstore.settings import KafkaSettings
from projections.control.catalogue import add_detail, create_generation, find_live, list_generations, move, read_audit
from projections.control.checkpoint import Partition, Vector, read_vector
from projections.control.generation import Generation, State
from projections.copies import opened_copies, show_live
from projections.declaration.projection import EVENTS, Projection
from projections.feeding.deriving import note_deriving
from projections.feeding.pipeline import Pipeline
from projections.feeding.publisher import Publisher, publishing
from projections.readmodels.policies import every_tenant
from projections.readmodels.postgres import create_indexes, create_tables
from projections.release.change import describe_parts, judge_change
from projections.release.fingerprint import fingerprint
from projections.release.lint import lint
from replay.bound import Bound, find_bound
from replay.chain import find_begun, find_topics, rush
from replay.choice import Choices
from replay.construction.builder import Builder
from replay.construction.edge import Edge, find_edges, note_edges, read_applied, recall_edges
from replay.construction.guard import Guard
from replay.construction.member import Member
from replay.construction.sharing import Sharing
from replay.construction.stitch import StitchedReader
from replay.construction.supply import Supply
from replay.construction.watchdog import Watchdog
from replay.cost import RATE, Cost, find_free, find_rate, measure_schema, scale_size
from replay.cutover import Swap, swap
from replay.plan import Plan, Step, bound_plan, make_plan
from replay.progress import Reporter
from replay.settings import ReplaySettings
from replay.verification.trial import Trial, require_unparked
from replay.verification.verify import Report


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
        self._topics: dict[str, str] = {}
        self._supply = Supply(kafka, choices.archive)
        self._edges: dict[Partition, Edge] = {}
        self._progress = 0, 0
        self._watchdog = Watchdog(engine, self._tell_stall)
        self._publication: asyncio.Task[None] | None = None

    async def plan(self) -> Plan:
        """Look at the catalogue and the log, change nothing, and say what `run` would do."""
        self._topics = await find_topics(self._engine, self.projection, self._kafka, bounded=bool(self._choices.until))
        partitions = await find_partitions(self._kafka, sorted(self._topics.values()))
        wanted = [(topic, number) for topic, count in partitions.items() for number in range(count)]
        kept, end = await find_bounds(self._kafka, wanted)
        async with Admin.open(self._kafka) as admin:
            for topic in partitions:
                if not self._choices.store:
                    self._supply.require_kept(topic, await admin.configuration(topic))
        first = await self._supply.complete(kept)
        async with checkout(self._engine) as connection:
            known = await list_generations(connection, self.projection.name)
            if self._choices.store:
                self._edges = await self._find_edges(connection, known, first, end)
                first |= dict.fromkeys(self._edges, 0)
            identity = (self.projection.name, self.projection.version, self.fingerprint)
            plan = make_plan(known, identity, {each: (first[each], end[each]) for each in wanted})
            if self._choices.until:
                plan = bound_plan(plan, known, await find_bound(self._kafka, self._choices.until, end))
            cost = await self._estimate(connection, plan)
        before = plan.live.detail.get("parts") if plan.live else None
        _, changes = judge_change(before, describe_parts(self.projection), same=plan.is_same_code or not plan.live)
        return replace(plan, cost=cost, changes=changes, warnings=[str(each) for each in lint(self.projection)])

    async def _find_edges(
        self, connection: Connection, known: Sequence[Generation], first: Vector, end: Vector
    ) -> dict[Partition, Edge]:
        """Find where the log takes over from the store; a build that goes on meets it where it began to."""
        begun = find_begun(known, self.fingerprint, bounded=bool(self._choices.until))
        if begun is not None and "edges" in begun.detail:
            return recall_edges(begun.detail["edges"])
        live = next((each for each in known if each.state is State.LIVE), None)
        return await find_edges(self._kafka, first, end, await read_applied(connection, live, end), self._settings.stall_s)

    def _make_reader(self, generation: Generation) -> AssignedReader:
        tail = self._supply.make_reader(generation.consumer_group)
        if not self._edges:
            return tail
        topic = EVENTS.topic(self._kafka)
        stitched = StitchedReader(self._engine, tail, (topic, generation.topics[topic]), self._edges)
        return cast("AssignedReader", stitched)  # the same interface

    async def _estimate(self, connection: Connection, plan: Plan) -> Cost:
        """Say what *plan* costs, as far as the audit, the live generation and the brokers tell."""
        rate = find_rate(await read_audit(connection, self.projection.name, limit=1000, moves=True))
        done = sum((await read_vector(connection, plan.target.id)).values()) if plan.target else 0
        size: int | None = None
        if plan.live:
            fed = sum((await read_vector(connection, plan.live.id)).values())
            size = scale_size(await measure_schema(connection, plan.live), fed, plan.records)
            size = max(0, size - await measure_schema(connection, plan.target)) if plan.target else size
        return Cost(
            max(0, plan.records - done),
            await measure_topics(self._kafka, dict(plan.topics)),
            rate or RATE,
            rate is not None,
            size,
            await find_free(connection),
        )

    async def run(self, plan: Plan, members: Sequence[Member] = ()) -> dict[str, Any]:
        """Carry *plan* out, *members* beside this process, and give the facts of the outcome.

        Raises VerificationFailed with the live generation untouched.
        """
        started = time.monotonic()
        if plan.step is Step.FINISH:
            assert plan.target is not None
            await show_live(self._engine, self.projection, plan.target)
            await self._finish(plan.target)
            return {"projection": self.projection.name, "generation": plan.target.number, "state": "live", "already": True}
        generation = await self._prepare(plan)
        async with publishing(Publisher.of(generation, self._engine, self._kafka)) as self._publication:
            apart = 0
            if self._choices.processes > 1:
                sharing = Sharing(self.projection, self._engine, self._reporter, self._choices, members)
                apart = await sharing.build(generation, plan, self._tell, whole=not self._edges)
                generation = await self._read(generation)
            return await self._go_on(plan, generation, apart, started)

    async def _go_on(self, plan: Plan, generation: Generation, apart: int, started: float) -> dict[str, Any]:
        """Carry *plan* on alone, other processes having applied *apart* records."""
        async with (
            opened_keyring(self._engine) as keyring,
            checkout(self._engine) as connection,
            every_tenant(connection, self.projection),
            opened_copies(self.projection, generation) as copies,
        ):
            opener = Opener(keyring)
            pipeline = Pipeline(self.projection, generation, self._topics, connection, exclusive=True, opener=opener)
            pipeline.applied, pipeline.copies = apart, copies
            reader = self._make_reader(generation)
            guard = Guard(self._engine, self.projection.name, self._kafka, self._settings)
            builder = Builder(pipeline, reader, self._settings, self._tell, guard)
            try:
                await builder.open()
                self._tell(sum(builder.vector.values()), plan.records, None)
                async with self._watchdog.watching(connection):
                    if plan.bound:
                        return await self._stop_short(generation, builder, plan.bound)
                    if await self._fold_archive(plan, pipeline, builder):
                        reader.seek(pipeline.vector)
                    return await self._carry_out(generation, builder, pipeline, started)
            finally:
                await builder.close()

    async def _read(self, generation: Generation) -> Generation:
        async with checkout(self._engine) as connection:
            return next(each for each in await list_generations(connection, self.projection.name) if each.id == generation.id)

    async def _fold_archive(self, plan: Plan, pipeline: Pipeline, builder: Builder) -> bool:
        """Fold what is archived by columns if that can be done, no further than the live generation is; say whether to go on there."""
        async with checkout(self._engine) as connection:
            live = await find_live(connection, self.projection.name)
            goal = await read_vector(connection, live.id) if live else None
        given = await self._supply.fold_ahead(self.projection, pipeline, goal, lambda done: self._tell(done, plan.records, None))
        if given is None:
            return False
        self._reporter.step("archive", str(given), **given._asdict())
        return given.doubt is None and await builder.commit()

    def _tell(self, done: int, total: int, stall: str | None) -> None:
        self._watchdog.hear()
        self._progress = done, total
        self._reporter.advance("build", done, total, stall=stall)

    def _tell_stall(self, reason: str) -> None:
        self._reporter.advance("build", *self._progress, stall=reason)

    async def _carry_out(self, generation: Generation, builder: Builder, pipeline: Pipeline, started: float) -> dict[str, Any]:
        generation = await self._build(generation, builder)
        took = time.monotonic() - started
        rate = round(pipeline.applied / took) if took else 0
        self._reporter.step(
            "build", f"{pipeline.applied:,} records in {took:.1f} s ({rate:,}/s)", records=pipeline.applied, seconds=took
        )
        built = {"records": pipeline.applied, "build_s": round(took, 3), "rate": rate}
        trial = Trial(self.projection, self._engine, self._reporter, self._settings)
        report = await trial.compare(generation, builder)
        generation = await trial.judge(generation, report, self._choices)
        facts: dict[str, Any] = {"projection": self.projection.name, "generation": generation.number}
        facts |= {**built, "verification": report.facts()}
        if not self._choices.swap:
            return {**facts, "state": str(generation.state)}
        await builder.catch_up()
        if self._publication and self._publication.done():
            self._publication.result()  # it ends by itself only when the topic is not the one that was written to
        noted = {"equal": report.is_equal, "verification": [str(each) for each in report.tables], **self._choices.waivers}
        swapped = await self._swap(generation, builder, {**noted, **built})
        await self._hand_over(swapped.live, builder)
        reach("replay.handed_over")
        await self._finish(swapped.live)
        return {
            **facts,
            "state": "live",
            "swap_held_s": round(swapped.held_s, 4),
            "seconds": round(time.monotonic() - started, 3),
        }

    async def _stop_short(self, generation: Generation, builder: Builder, bound: Bound) -> dict[str, Any]:
        """Build up to *bound* and no further, check it, and leave it beside the live generation."""
        generation = await self._move(generation, State.BUILDING)
        await builder.stop_at(bound.vector)
        await builder.finish()
        async with self._engine.begin() as transaction:
            await create_indexes(transaction, self.projection, generation.schema_name)
        generation = await self._move(generation, State.CAUGHT_UP)
        trial = Trial(self.projection, self._engine, self._reporter, self._settings)
        report = Report(failed_checks=await trial.check(generation))
        generation = await trial.judge(generation, report, self._choices)
        facts = {"projection": self.projection.name, "generation": generation.number, "state": str(generation.state)}
        return {**facts, "until": bound.facts(), "schema": generation.schema_name}

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
            "detail": {
                "replay": "building",
                "records": plan.records,
                "parts": describe_parts(self.projection),
                **({"until": plan.bound.facts()} if plan.bound else note_deriving(self.projection, plan.topics, self._topics)),
                **({"edges": note_edges(self._edges)} if self._edges else {}),
            },
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
        reach("replay.indexed")
        await builder.report()
        generation = await self._move(generation, State.CAUGHT_UP)
        reach("replay.caught_up")
        return generation

    async def _approach(self, builder: Builder) -> None:
        """Go up to where the live generation is and no further, so that both can be compared there; without one, to the end."""
        async with checkout(self._engine) as connection:
            live = await find_live(connection, self.projection.name)
            goal = await builder.find_goal(live, await read_vector(connection, live.id)) if live else None
        if goal is None:
            await builder.catch_up()
        else:
            await builder.advance_to(goal)

    async def _swap(self, generation: Generation, builder: Builder, detail: Mapping[str, Any]) -> Swap:
        async def reach_vector(vector: Vector) -> None:
            await rush(self._engine, self._kafka, builder, vector)
            await self._require_unparked(generation)

        await self._require_unparked(generation)
        swapped = await swap(
            self._engine,
            generation,
            reach_vector,
            action="swap",
            grace_s=self._choices.grace_s,
            limit_s=self._settings.swap_s,
            detail=detail,
            mark="swapped",
        )
        await show_live(self._engine, self.projection, swapped.live)
        reach("swap.views_made")
        was = f"{swapped.retired} -> " if swapped.retired else ""
        self._reporter.step(
            "swap", f"{was}{swapped.live} live (writers held {swapped.held_s * 1000:.0f} ms)", held_s=swapped.held_s
        )
        return swapped

    async def _require_unparked(self, generation: Generation) -> None:
        """Look again, since more was folded after the trial."""
        if not self._choices.accept_parked:
            await require_unparked(self._engine, generation)

    async def _hand_over(self, generation: Generation, builder: Builder) -> None:
        until = time.monotonic() + self._settings.handover_s
        waits = f"feeding it until a worker of this release does, {self._settings.handover_s:g} s at most"
        if not await self._is_taken(generation):
            self._reporter.step("hand over", waits)
        try:
            while time.monotonic() < until:
                self._watchdog.hear()
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
        return bool(found and found[0])

    async def _finish(self, generation: Generation) -> None:
        async with checkout(self._engine) as connection:
            await add_detail(connection, generation, {"replay": "finished"})

    async def _move(self, generation: Generation, there: State) -> Generation:
        if generation.state is there:
            return generation
        async with checkout(self._engine) as connection:
            return await move(connection, generation, there)


def require_beginning(*, from_beginning: bool) -> None:
    """Refuse a replay that does not say from where: it must never start from zero by accident."""
    if not from_beginning:
        raise UsageError("say from where: --from-beginning rebuilds the projection from offset zero beside the live one")
