"""`cdc recover`: what became of a source is found out, mended, and proved mended by comparing its read models with it.

The cheapest cure that may do is tried first, and the comparison judges it: where it finds a difference, the connector takes a whole
snapshot, after which rows that went meanwhile go; where even then rows differ (somebody changed them by hand, or a handler isn't
deterministic), the projection is rebuilt beside the live one. Every step may be repeated, so a run that was killed is simply run again.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from cdc.change.envelope import part_payload
from cdc.connect.config import name_topic
from cdc.plan.world import World
from cdc.proof import ConnectorFailed
from cdc.recovery import Cure, Diagnosis, Healer, count_came, diagnose
from eventstore.codec import loads
from eventstore.console import Output
from eventstore.errors import UndecodableRecord
from eventstore.log.admin import Admin
from eventstore.log.bounds import find_bounds
from eventstore.log.tail import read_tail
from eventstore.postgres.engine import checkout
from projections.control.checkpoint import Counted, Vector, read_counted, restart
from projections.declaration.projection import Projection
from replay.choice import Choices
from replay.evidence.history import read_history
from replay.operator import operating
from replay.plan import Step
from replay.progress import Reporter
from replay.run import Replay
from replay.settings import ReplaySettings
from replay.verification.agreement import Agreement, Verifier

_STALL_S = 30.0
_DIFFERS = "the read models differ from their source after it was resumed"
_AGAIN = "every row comes once more, and rows that went meanwhile go"


@dataclass(slots=True)
class Recovered:
    """What was found and done; *came* is what the log got by it, by topic; *restarted* are topics that are read from their start again.

    *agreement* is the proof, None where no read model can be compared.
    """

    connector: str
    diagnoses: list[Diagnosis] = field(default_factory=list[Diagnosis])
    restarted: list[str] = field(default_factory=list[str])
    came: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    rebuilt: list[str] = field(default_factory=list[str])
    agreement: Agreement | None = None
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def is_proved(self) -> bool:
        """Whether nothing differs, as far as it can be compared."""
        return self.dry_run or self.agreement is None or self.agreement.is_equal

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`."""
        plain = {**asdict(self), "diagnoses": [each.facts() for each in self.diagnoses], "proved": self.agreement is not None}
        return {**plain, "agreement": self.agreement.facts() if self.agreement else None}

    def __str__(self) -> str:
        lines = [f"{self.connector}: {each}" for each in self.diagnoses]
        lines += [f"  {each} is read from its first record again" for each in self.restarted]
        lines += [
            f"  {topic}: {each['snapshot_rows']:,} rows came again, {each['changes']:,} changes, {each['repeated_changes']:,} of them for "
            "a second time"
            for topic, each in self.came.items()
        ]
        lines += [f"  {each} was rebuilt" for each in self.rebuilt]
        if self.dry_run:
            lines.append("  nothing was changed; leave out --dry-run to do it")
        elif self.agreement is None:
            lines.append("  not proved: no read model of --app mirrors a captured table")
        return "\n".join([*lines, *([str(self.agreement)] if self.agreement else [])])


class Recovery:
    """Recovers the source of *verifier*'s connector, and proves it with *verifier*."""

    def __init__(self, verifier: Verifier, output: Output) -> None:
        self._verifier = verifier
        self._output = output
        self._connector, self._kafka = verifier.connector, verifier.kafka
        self._healer = Healer(verifier.connector, verifier.kafka, verifier.deadline, verifier.report)
        names = self._healer.names
        self._topics = [name_topic(names.prefix, each) for each in self._connector.tables]
        self._lost: list[Counted] = []
        self._orders: dict[str, tuple[int, int]] = {}
        self._found = Recovered(self._connector.name)

    async def run(self, *, dry_run: bool) -> Recovered:
        """Find out, mend and prove. Raises what the steps raise; what they did stays done."""
        started = time.monotonic()
        mirrors, _ = self._verifier.list_mirrors()
        judged = {each.source.table for each in mirrors} >= set(self._connector.tables)
        world = await self._healer.look()
        diagnosis = diagnose(world, self._connector, self._healer.names, await self._find_lost(world), judged=judged)
        self._found.diagnoses.append(diagnosis)
        self._found.dry_run = dry_run
        self._verifier.report(f"{self._connector.name}: {diagnosis}")
        if not dry_run:
            before = await self._read_ends()
            await self._mend(diagnosis, world, judged=judged, proved=bool(mirrors))
            self._found.came = await self._count(before)
        self._found.seconds = round(time.monotonic() - started, 2)
        return self._found

    async def _mend(self, diagnosis: Diagnosis, world: World, *, judged: bool, proved: bool) -> None:
        try:
            await self._healer.heal(diagnosis, world, self._restart_lost, judged=judged)
        except ConnectorFailed:  # what it can't go on with was not seen before it tried
            world = await self._healer.look()
            diagnosis = diagnose(world, self._connector, self._healer.names, (), judged=judged)
            self._found.diagnoses.append(diagnosis)
            if diagnosis.cure is not Cure.SNAPSHOT:
                raise
            await self._healer.heal(diagnosis, world, self._restart_lost, judged=judged)
        if not proved:
            return
        agreement = await self._verifier.verify()
        known = agreement.is_equal and (diagnosis.cure is not Cure.REPOSITION or agreement.covers(self._connector.tables))
        if not known and diagnosis.cure is not Cure.SNAPSHOT:
            again = Diagnosis("differs", _DIFFERS, Cure.SNAPSHOT, _AGAIN)
            self._found.diagnoses.append(again)
            self._verifier.report(f"{self._connector.name}: {again}")
            await self._healer.heal(again, await self._healer.look(), self._restart_lost, judged=judged)
            agreement = await self._verifier.verify()
        if not agreement.is_equal:
            for name in dict.fromkeys(each.projection for each in agreement.tables if not each.is_equal):
                await self._rebuild(next(each for each in self._verifier.projections if each.name == name))
            agreement = await self._verifier.verify()
        self._found.agreement = agreement

    async def _rebuild(self, projection: Projection) -> None:
        """Rebuild *projection* beside the live one, and let it go live although its rows differ: that is why it is rebuilt."""
        engine, limits = self._verifier.engine, ReplaySettings()
        async with operating(engine, projection.name):
            with Reporter(self._output, projection.name) as reporter:
                choices = Choices(accept_differences=True)
                replay = Replay(projection, engine, reporter, kafka=self._kafka, settings=limits, choices=choices)
                plan = await replay.plan()
                if plan.step is Step.FINISH:  # a replay that was killed after its swap is noted as ended, which mends no row
                    await replay.run(plan)
                    plan = await replay.plan()
                await replay.run(plan)
        self._found.rebuilt.append(projection.name)

    async def _find_lost(self, world: World) -> list[str]:
        """Find the topics that are gone, or were made anew since a generation began to count them."""
        async with Admin.open(self._kafka) as admin:
            there = await admin.topic_ids(self._topics)
        async with checkout(self._verifier.engine) as connection:
            counted = await read_counted(connection, self._topics)
        self._lost = [
            each
            for each in counted
            if each.next_offset and (each.topic not in there or each.topic_id not in (None, there[each.topic]))
        ]
        gone = {each for each in self._topics if each not in there and world.offsets}
        return sorted({each.topic for each in self._lost} | gone)

    async def _restart_lost(self) -> None:
        """Let every generation read the lost topics from their start: what the snapshot puts there is all that there is now."""
        async with checkout(self._verifier.engine) as connection:
            for each in self._lost:
                await restart(connection, each.generation, each.topic)
        self._found.restarted = sorted({each.topic for each in self._lost})
        self._lost = []

    async def _read_ends(self) -> Vector:
        """Give where the topics end, and note the order of their last changes."""
        async with Admin.open(self._kafka) as admin:
            there = await admin.describe(self._topics)
        partitions = [(topic, number) for topic, (count, _, _) in there.items() for number in range(count)]
        for topic, (count, _, _) in there.items():
            orders = [_read_change(value)[1] for value in (await read_tail(self._kafka, topic, count)).values()]
            if orders:
                self._orders[topic] = max(orders)
        return (await find_bounds(self._kafka, partitions))[1] if partitions else {}

    async def _count(self, before: Vector) -> dict[str, dict[str, int]]:
        """Count what the log got since *before*, topic by topic."""
        after, came = await self._read_ends_only(), dict[str, dict[str, int]]()
        whole = self._found.restarted
        start = {each: 0 if each[0] in whole or offset > after.get(each, 0) else offset for each, offset in before.items()}
        found: dict[str, list[tuple[str, tuple[int, int]]]] = {each: [] for each in self._topics}
        group = f"{self._healer.names.prefix}.cdc-recover"
        async for batch in read_history(self._kafka, group, start, after, _STALL_S):
            for (topic, _), records in batch.items():
                found[topic] += [_read_change(each.value) for each in records if each.value is not None]
        for topic, records in found.items():
            before_it = None if topic in self._found.restarted else self._orders.get(topic)
            came[topic] = dict(count_came(records, before_it))
        return came

    async def _read_ends_only(self) -> Vector:
        async with Admin.open(self._kafka) as admin:
            there = await admin.describe(self._topics)
        return (await find_bounds(self._kafka, [(topic, n) for topic, (count, _, _) in there.items() for n in range(count)]))[1]


def _read_change(value: bytes) -> tuple[str, tuple[int, int]]:
    """Read op and order of a record; a form that is not JSON gives an op that counts as nothing."""
    try:
        payload: Any = part_payload(value)
        commit, event = loads(payload["source"]["sequence"])
        return payload["op"], (int(event if commit is None else commit), int(event))
    except (UndecodableRecord, KeyError, TypeError, ValueError):
        return "", (0, 0)
