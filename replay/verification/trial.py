"""The trial of a built generation: whether it holds what it should hold.

It is compared with the live one at the same offset vector, and the user's checks run on it. The same code must give the same
rows; changed code gives differences, which are reported. Parked records, failed checks and unexplained differences keep it from
going live.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import PreconditionFailed, VerificationFailed
from eventstore.moments import reach
from eventstore.postgres.engine import checkout
from eventstore.postgres.refusals import driver_error, is_gone
from eventstore.postgres.statements import load
from projections.control.catalogue import add_detail, find_live, move
from projections.control.checkpoint import has_reached, read_vector
from projections.control.generation import Generation, State
from projections.control.parking import count_parked
from projections.declaration.projection import Projection
from projections.readmodels.policies import every_tenant
from projections.release.fingerprint import fingerprint
from projections.release.loss import read_lost
from replay.choice import Choices
from replay.construction.builder import Builder
from replay.progress import Reporter
from replay.settings import ReplaySettings
from replay.verification.verify import WITHHELD, Report, compare, tell_sample


class Trial:
    """Tries one projection's new generation."""

    def __init__(self, projection: Projection, engine: AsyncEngine, reporter: Reporter, settings: ReplaySettings) -> None:
        self._projection = projection
        self._fingerprint = fingerprint(projection)
        self._engine = engine
        self._reporter = reporter
        self._settings = settings

    async def compare(self, generation: Generation, builder: Builder) -> Report:
        """Take the build to the live generation's vector, compare both there, and run the user's checks."""
        started = time.monotonic()
        report = Report()
        async with (
            checkout(self._engine) as live_side,
            checkout(self._engine) as new_side,
            every_tenant(live_side, self._projection),
            every_tenant(new_side, self._projection),
        ):
            live = await find_live(live_side, self._projection.name)
            if live is not None and await self._can_compare(live_side, live, generation, builder):
                async with live_side.transaction():
                    await live_side.execute(load("replay", "begin_snapshot"))
                    await live_side.execute(load("replay", "allow_idling"))
                    await builder.advance_to(await builder.find_goal(live, await read_vector(live_side, live.id)))
                    async with new_side.transaction():
                        sides = (live.schema_name, live_side), (generation.schema_name, new_side)
                        lost = await read_lost(new_side, generation.id)
                        report = await compare(self._projection, *sides, samples=self._settings.samples, lost=lost)
        report.failed_checks = await self.check(generation)
        reach("replay.compared")
        took = time.monotonic() - started
        self._show(report, [*builder.copied])
        self._reporter.step("verify", f"{report.verdict} in {took:.1f} s", seconds=took, equal=report.is_equal)
        if live is not None and any(each.samples for each in report.tables):
            ask = f"replay diff --projection {self._projection.name} g{live.number} g{generation.number}"
            self._reporter.step("verify", f"the events behind these rows: {ask}")
        return report

    def _show(self, report: Report, copied: Sequence[Any]) -> None:
        """Say what the comparison found: a line for each table and each sampled difference."""
        if not report.tables:
            self._reporter.step("verify", "no live generation to compare with")
        for table in report.tables:
            self._reporter.step("verify", f"{table}")
            for each in table.samples:
                self._reporter.step("verify", f"  {tell_sample(table, each)}", table=table.table, sample=each)
        for each in copied:
            self._reporter.step("verify", f"{each}")

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
            if live.fingerprint == self._fingerprint and not generation.detail.get("verified"):
                raise PreconditionFailed(
                    f"{live} is {behind:,} records behind {generation}, so they can't be compared. Start `projections run` of the "
                    "release that is live, then run this again; what is built stays."
                )
            self._reporter.step("verify", f"not compared again: {live} is {behind:,} records behind and nothing feeds it")
            return False
        return True

    async def check(self, generation: Generation) -> list[str]:
        """Run the user's own checks on *generation* and give those that found something."""
        failed: list[str] = []
        async with self._engine.connect() as plain:
            bound = await plain.execution_options(schema_translate_map={self._projection.slug: generation.schema_name})
            if self._projection.has_tenants:
                await bound.exec_driver_sql(load("projections", "act_for_all"))
            for check in self._projection.checks:
                try:
                    async with bound.begin_nested():
                        found = (await bound.execute(check.query().limit(3))).mappings().all()
                except Exception as error:
                    refused = driver_error(error)
                    if refused is None or is_gone(error):
                        raise
                    failed.append(f"{check.name} can't be asked: {refused}")
                    continue
                if found:
                    shown = WITHHELD if self._projection.has_personal else [dict(each) for each in found]
                    failed.append(f"{check.name}: {shown}")
        return failed

    async def judge(self, generation: Generation, report: Report, choices: Choices) -> Generation:
        """Let a generation that passed be verified. Raises VerificationFailed otherwise; the live one still serves."""
        async with checkout(self._engine) as connection:
            live = await find_live(connection, self._projection.name)
        if not choices.accept_parked:
            await require_unparked(self._engine, generation)
        if report.failed_checks:
            raise VerificationFailed(
                f"{generation} fails its checks: {'; '.join(report.failed_checks)}. The live generation still serves."
            )
        same_code = (
            live if live and live.fingerprint == self._fingerprint and set(live.topics) == set(generation.topics) else None
        )
        if same_code and not report.is_explained and not choices.accept_differences:
            aside = await self._tell_aside(same_code, generation)
            raise VerificationFailed(
                f"{generation} was built by the same code as {live} but holds other rows: {'; '.join(map(str, report.tables))}. "
                f"Either {aside}the live rows were changed by hand, or a handler isn't deterministic, or the keys of personal data are "
                "configured for one of them only. Swap all the same with --accept-differences.",
                **report.facts(),
            )
        async with checkout(self._engine) as connection:
            if generation.state is not State.VERIFIED:
                generation = await move(connection, generation, State.VERIFIED)
            await add_detail(connection, generation, {"verified": True})
        reach("replay.verified")
        return generation

    async def _tell_aside(self, *generations: Generation) -> str:
        """Say which of *generations* lack records that were parked or skipped, a reason to differ that is no fault."""
        told: list[str] = []
        async with checkout(self._engine) as connection:
            for each in generations:
                rows = await (await connection.execute(load("replay", "list_aside"), {"generation": each.id})).fetchall()
                if rows:
                    told.append(f"it is because {each} lacks {len(rows):,} records that were parked or skipped, or ")
        return "".join(told)


async def require_unparked(engine: AsyncEngine, generation: Generation) -> None:
    """Raise VerificationFailed while *generation* has parked records: it lacks what they say."""
    async with checkout(engine) as connection:
        parked = await count_parked(connection, generation.id)
    if parked:
        raise VerificationFailed(
            f"{generation} has {parked} parked records, so it was not swapped in (see `projections parked`). "
            "Mend the handler and replay again, or accept them with --accept-parked.",
            parked=parked,
        )
