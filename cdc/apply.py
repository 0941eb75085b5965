"""`cdc apply`: from a declaration to a connector that is proved to capture. Running it again changes nothing.

It carries out exactly what `cdc plan` shows, since both take it from `cdc.plan.diff`: everything is looked at first, and nothing
is changed when a check fails; then the database, the topics, the connector, and the proof. A connector is set going again, paused or
stopped, as its declaration says; of one that is to stand there is no proof, and it is enough that Connect says so.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cdc.connect.client import ConnectClient
from cdc.connect.config import Names, find_names, name_topic
from cdc.connect.declaration import Connector
from cdc.connect.settings import ConnectSettings
from cdc.database import SourceDatabase, open_database
from cdc.plan.diff import plan_connector
from cdc.plan.step import Plan, Step
from cdc.proof import Proof, Report
from cdc.steer import await_standing, forget_offsets
from cdc.survey import find_dsn, survey_world
from eventstore.errors import HeldElsewhere, PreconditionFailed, UsageError
from eventstore.log.admin import Admin
from eventstore.settings import KafkaSettings

_SIGNS = {"+": "created", "~": "changed", "-": "removed"}


@dataclass(slots=True)
class Applied:
    """What an apply did: *publication* and *config* are `created`, `changed` or `unchanged`, *steps* what the plan held."""

    connector: str
    publication: str = "unchanged"
    config: str = "unchanged"
    changes: dict[str, tuple[str | None, str | None]] = field(default_factory=dict[str, tuple[str | None, str | None]])
    topics: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    steps: list[str] = field(default_factory=list[str])
    seconds: float = 0.0
    state: str = "running"
    """The state that it is in now, as declared."""

    @property
    def changed(self) -> bool:
        """Whether anything was created or changed."""
        return bool(self.steps)

    def facts(self) -> dict[str, Any]:
        """Give the outcome for `--json`."""
        return {**asdict(self), "changed": self.changed}


async def read_plan(connector: Connector, *, kafka: KafkaSettings | None = None, settings: ConnectSettings | None = None) -> Plan:
    """Give what `apply_connector` would do now. Raises Unreachable, UsageError, PreconditionFailed when a secret can't be read."""
    chosen = kafka or KafkaSettings()
    async with ConnectClient(settings) as connect:
        return plan_connector(connector, chosen, await survey_world(connector, chosen, connect))


async def apply_connector(
    connector: Connector,
    *,
    kafka: KafkaSettings | None = None,
    settings: ConnectSettings | None = None,
    timeout_s: float = 120.0,
    allow_breaking: bool = False,
    report: Report = lambda _: None,
) -> Applied:
    """Make *connector* exist and capture, and return once that is proved; one that is declared to stand, once it stands.

    Raises PreconditionFailed when a check fails, or when a change would alter the form of the records and *allow_breaking* is
    not given (nothing was changed then), UsageError when Connect refuses an option, TimedOut when the proof did not come within
    *timeout_s*, ConnectorFailed with the classified trace, Unreachable.
    """
    started = time.monotonic()
    chosen = kafka or KafkaSettings()
    names = find_names(connector, chosen)
    async with ConnectClient(settings) as connect:
        world = await survey_world(connector, chosen, connect)
        report(f"Kafka Connect {world.version}, {len(connector.tables)} tables looked at")
        plan = plan_connector(connector, chosen, world)
        applied = _begin(plan, connector, names)
        for warning in applied.warnings:
            report(f"warning: {warning}")
        refuse_plan(plan, connector.name, allow_breaking=allow_breaking)
        stale = world.state.failure if world.state is not None else ""
        async with open_database(find_dsn(connector, world.config)) as database:
            await Work(connect, database, chosen, names, report, started + timeout_s, connector.state).carry_out(plan.steps)
            _sum_up(applied, plan.steps)
            if connector.state == "running":
                await Proof(connect, database, names.connector, names.slot, started + timeout_s, report, stale).wait()
            else:
                await await_standing(connect, names.connector, connector.state.upper(), started + timeout_s)
    applied.seconds = round(time.monotonic() - started, 2)
    return applied


def refuse_plan(plan: Plan, name: str, *, allow_breaking: bool = False) -> None:
    """Raise for every failed check in *plan*, and for breaking changes that were not allowed."""
    refused = [finding for finding in plan.failures if finding.code == "option"]
    if refused:
        listed = "; ".join(finding.what for finding in refused)
        raise UsageError(f"Debezium refuses the configuration, nothing was changed: {listed}", options=[f.what for f in refused])
    if plan.failures:
        listed = "".join(f"\n  {finding}" for finding in plan.failures)
        codes = [finding.code for finding in plan.failures]
        raise PreconditionFailed(f"connector {name} can't be applied, nothing was changed:{listed}", checks=codes)
    breaking = [change.name for step in plan.steps for change in step.changes if change.effect in ("values", "identity")]
    if breaking and not allow_breaking and not any(step.action == "create-connector" for step in plan.steps):
        raise PreconditionFailed(
            f"connector {name}: changing {', '.join(breaking)} alters the form of the records from here on, so that whoever reads "
            "the topics must know both; nothing was changed. See `cdc plan`, and allow it with --allow-breaking",
            options=breaking,
        )


@dataclass(frozen=True, slots=True)
class Work:
    """Carries steps out, each by the one request or statement it stands for."""

    connect: ConnectClient
    database: SourceDatabase
    kafka: KafkaSettings
    names: Names
    report: Report
    deadline: float
    state: str = "running"

    async def carry_out(self, steps: Sequence[Step]) -> None:
        """Do all *steps* in their order. What was done stays done when a later one fails; running again does the rest."""
        verbs: dict[str, Callable[[Step], Awaitable[object]]] = {
            "sql": lambda step: self.database.execute(step.statement),
            "create-topic": self._create_topic,
            "alter-topic": self._alter_topic,
            "create-connector": self._create,
            "put-config": lambda step: self.connect.put_config(self.names.connector, step.values),
            "resume": lambda _: self.connect.resume(self.names.connector),
            "pause": lambda _: self.connect.pause(self.names.connector),
            "stop": lambda _: self.connect.stop(self.names.connector),
            "restart": lambda _: self.connect.restart(self.names.connector, only_failed=True),
        }
        for step in steps:
            if step.action != "wait":
                await verbs[step.action](step)
                self.report(f"{step.thing} {step.name} {_SIGNS[step.sign]}")

    async def _create_topic(self, step: Step) -> None:
        async with Admin.open(self.kafka) as admin:
            await admin.create_topic(step.name, step.partitions, step.values)

    async def _alter_topic(self, step: Step) -> None:
        async with Admin.open(self.kafka) as admin:
            await admin.alter_topic(step.name, step.values)

    async def _create(self, step: Step) -> None:
        """Create the connector stopped, clear what a deleted namesake left behind, and set it going or pause it as declared.

        Offsets without a slot would skip the snapshot; a slot without offsets would repeat old changes after it.
        """
        name, slot = self.names.connector, await self.database.read_slot(self.names.slot)
        if slot is not None and slot["active"]:
            raise HeldElsewhere(
                f"the slot {self.names.slot} is read by someone else: another connector or consumer uses our name"
            )
        if not await self.connect.create(name, step.values, stopped=True):
            raise HeldElsewhere(
                f"someone else made the connector {name} while this looked: nothing of it was touched. `cdc status` tells whether it "
                "captures; run `cdc apply` again once they are done",
                connector=name,
            )
        has_offsets = bool(await self.connect.read_offsets(name))
        if has_offsets and slot is None:
            await forget_offsets(self.connect, name, self.deadline)
        if slot is not None and not has_offsets:
            await self.database.drop_slot(self.names.slot)
        if self.state != "stopped":
            await (self.connect.resume(name) if self.state == "running" else self.connect.pause(name))


def _begin(plan: Plan, connector: Connector, names: Names) -> Applied:
    topics = [name_topic(names.prefix, table) for table in connector.tables]
    warnings = [str(finding) for finding in plan.findings if finding.severity == "warn"]
    applied = Applied(plan.connector, topics=topics, warnings=warnings, state=connector.state)
    if any(step.thing == "publication" and step.sign == "~" for step in plan.steps):
        applied.warnings.append("rows that an added table already holds are not captured: only what changes from now on is")
    return applied


def _sum_up(applied: Applied, steps: Sequence[Step]) -> None:
    for step in steps:
        applied.steps.append(f"{step.sign} {step.thing} {step.name}")
        if step.thing == "publication":
            applied.publication = _SIGNS[step.sign]
        if step.action in ("create-connector", "put-config"):
            applied.config = _SIGNS[step.sign]
        if step.action == "put-config":
            applied.changes = {change.name: (change.old, change.new) for change in step.changes}
