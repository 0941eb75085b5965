"""What has become of a connector whose slot, offsets, topics or server went away, and bringing it back. What is lost comes by a snapshot.

`diagnose` is pure: facts in, cause and cure out. A cure leaves everything in a state from which it can be begun again, so one that was
killed is simply repeated. The order is always the same: the connector stops, what it can't go on with is taken away, and `cdc apply`
makes what is missing and proves that it captures. Topics are never emptied: a snapshot's rows follow what is there, and whoever reads
them knows from a new snapshot that rows which it lacks are gone.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from cdc.apply import Applied, apply_connector
from cdc.check import Facts
from cdc.connect.client import ConnectClient
from cdc.connect.config import Names, build_config, find_names
from cdc.connect.declaration import Connector
from cdc.connect.trace import classify
from cdc.database import SourceDatabase, open_database
from cdc.offsets import Window, find_window, set_offset, write_position
from cdc.plan.worker import settle_config
from cdc.plan.world import World
from cdc.proof import Report
from cdc.steer import Target, forget_offsets, release_slot, stop_connector
from cdc.survey import find_dsn, survey_world
from cdc.void import tell_empty
from eventstore.errors import PreconditionFailed
from eventstore.moments import reach
from eventstore.settings import KafkaSettings


class Cure(StrEnum):
    """What brings a connector back, from nothing to everything."""

    NONE = "none"
    RESUME = "resume"
    REPOSITION = "reposition"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """*cause* in one word, *what* was found, the *cure*, and what that *means*: what is repeated, and what is lost."""

    cause: str
    what: str
    cure: Cure
    means: str

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`."""
        return {**asdict(self), "cure": str(self.cure)}

    def __str__(self) -> str:
        return f"{self.what}. Cure: {self.cure}; {self.means}"


_AGAIN = "every row comes once more, rows that went meanwhile go; what changed in between and changed back was seen by nobody"


def diagnose(world: World, connector: Connector, names: Names, lost: Sequence[str], *, judged: bool) -> Diagnosis:
    """Find the cause and the cheapest cure that loses nothing. Pure.

    *lost* are topics that were deleted, or made anew since they were read. *judged*: every captured table is compared with a read model
    afterwards, so that a cure which repeats little may be tried before a snapshot. Raises PreconditionFailed for a standby.
    """
    if world.server["is_standby"]:
        raise PreconditionFailed("the source is a standby: point the dsn to the server that was promoted")
    window = find_window(world.offsets, names, world.slot)
    found = _find_gap(world, names, lost, window)
    if found is not None:
        return Diagnosis(*found, Cure.SNAPSHOT, _AGAIN)
    if world.config is None:
        return Diagnosis("deleted", f"Connect knows no connector {names.connector}", Cure.RESUME, "nothing is repeated")
    here = world.config.get("database.hostname"), world.config.get("database.port", "5432")
    if here != (connector.host, str(connector.port)):
        what = (
            f"{names.connector} reads from {':'.join(map(str, here))}, and its source is at {connector.host}:{connector.port} now"
        )
        return Diagnosis(
            "moved", what, Cure.RESUME, "it goes on in the slot that the new server has; changes after that may come twice"
        )
    if window.stands is None and world.slot is not None:
        return _weigh_offsets(world, names, window, judged=judged)
    return _judge_state(world, names)


def _judge_state(world: World, names: Names) -> Diagnosis:
    failure = world.state.failure if world.state is not None else ""
    if failure:
        kind, cause, _ = classify(failure)
        return Diagnosis("failed", f"{names.connector} failed ({kind}): {cause}", Cure.RESUME, "nothing is repeated")
    if world.state is None or not world.state.is_running:
        state = world.state or "without status"
        return Diagnosis("stands", f"{names.connector} is {state}", Cure.RESUME, "nothing is repeated")
    return Diagnosis("none", "slot, offsets and topics are there and the connector runs", Cure.NONE, "nothing is changed")


def _find_gap(world: World, names: Names, lost: Sequence[str], window: Window) -> tuple[str, str] | None:
    """Find what no log can bring back."""
    slot = world.slot
    if lost:
        return "topic", f"{', '.join(lost)} was deleted, and what it held with it"
    if slot is None and window.stands is None and world.config is None:
        return "everything", "there is neither connector nor slot: it is made anew"
    failure = world.state.failure if world.state is not None else ""
    if slot is None or slot["wal_status"] == "lost":
        return "slot", _describe_slot(slot, names, window)
    return _find_misfit(window, names, failure)


def _find_misfit(window: Window, names: Names, failure: str) -> tuple[str, str] | None:
    if window.stands is not None and window.last is not None and window.stands > window.last:
        what = f"the connector stands at {_place(window.stands)}, past the end of the server's log {_place(window.last)}"
        return "server", f"{what}: another server answers, which never had what came last"
    if failure and window.stands is not None and window.first is not None and window.stands < window.first:
        what = f"the connector stands at {_place(window.stands)}, before the slot's beginning {_place(window.first)}"
        return "offsets", f"{what}: the slot was made anew or moved, or older offsets were put back"
    if failure and classify(failure).kind in {"wal gone", "slot missing"}:
        return "slot", f"{names.connector} failed: {classify(failure).cause}"
    return None


def _describe_slot(slot: Facts | None, names: Names, window: Window) -> str:
    if slot is None:
        return f"the slot {names.slot} is gone, and with it the changes after {_place(window.stands)}"
    why = slot["invalidation_reason"] or "it was too far behind"
    return f"the slot {names.slot} has lost its log ({why}), and with it the changes after {slot['confirmed']}"


def _weigh_offsets(world: World, names: Names, window: Window, *, judged: bool) -> Diagnosis:
    if world.state is not None and world.state.is_running:
        return Diagnosis("none", "the connector runs and has not noted its place yet", Cure.NONE, "nothing is changed")
    what = f"Connect has no offsets of {names.connector} while its slot is there"
    if not judged:
        return Diagnosis("offsets", what, Cure.SNAPSHOT, _AGAIN)
    means = f"it goes on at {_place(window.first)}, up to which the slot had been confirmed; changes after that may come twice"
    return Diagnosis("offsets", what, Cure.REPOSITION, means)


def _place(position: int | None) -> str:
    return "nowhere" if position is None else write_position(position)


@dataclass(frozen=True, slots=True)
class Healer:
    """Carries cures out for one declared *connector*, until *deadline* (by `time.monotonic`)."""

    connector: Connector
    kafka: KafkaSettings
    deadline: float
    report: Report

    @property
    def names(self) -> Names:
        """What the connector is called in the three places."""
        return find_names(self.connector, self.kafka)

    async def look(self) -> World:
        """Collect the facts. Raises Unreachable when a server does not answer, since nothing can be said then."""
        async with ConnectClient() as connect:
            return await survey_world(self.connector, self.kafka, connect)

    async def heal(
        self, diagnosis: Diagnosis, world: World, cleared: Callable[[], Awaitable[None]], *, judged: bool
    ) -> Applied | None:
        """Carry the cure out and prove that the connector captures, whatever state it is declared in; None = nothing was to be done.

        *cleared* is called while the connector stands still, before it begins anew. Raises what `apply_connector` raises. What was done
        stays done; run it again.
        """
        if diagnosis.cure is Cure.NONE:
            return None
        async with ConnectClient() as connect, open_database(find_dsn(self.connector, world.config)) as database:
            if world.config is None:
                diagnosis = await self._restore(connect, diagnosis, judged=judged)
            if diagnosis.cure in (Cure.SNAPSHOT, Cure.REPOSITION):
                await self._clear(connect, database, diagnosis)
                await cleared()
                if diagnosis.cure is Cure.SNAPSHOT:
                    dsn, tables = find_dsn(self.connector, world.config), self.connector.tables
                    for table in await tell_empty(database, dsn, self.kafka, self.names, tables):
                        self.report(f"{table} is empty: a truncate was written into its topic")
        return await apply_connector(
            replace(self.connector, state="running"),
            kafka=self.kafka,
            timeout_s=max(1.0, self.deadline - time.monotonic()),
            report=self.report,
        )

    async def _restore(self, connect: ConnectClient, diagnosis: Diagnosis, *, judged: bool) -> Diagnosis:
        """Create the connector again, stopped, because only then Connect tells which offsets it still has."""
        names, config = self.names, build_config(self.connector, self.kafka)
        await connect.create(names.connector, settle_config(self.connector, config, None), stopped=True)
        self.report(f"connector {names.connector} made again")
        if diagnosis.cure is Cure.SNAPSHOT:
            return diagnosis
        again = await survey_world(self.connector, self.kafka, connect)
        return diagnose(again, self.connector, names, (), judged=judged)

    async def _clear(self, connect: ConnectClient, database: SourceDatabase, diagnosis: Diagnosis) -> None:
        """Stop the connector and take away what it can't go on with, in an order that can be left anywhere."""
        names = self.names
        await stop_connector(connect, Target(names.connector, names.slot, None), self.deadline)
        self.report("connector stopped")
        reach("recover.stopped")
        slot = await database.read_slot(names.slot)
        if diagnosis.cure is Cure.REPOSITION and slot is not None:
            await set_offset(connect, names, slot["confirmed_bytes"])
            self.report(f"offset set to {slot['confirmed']}")
            return
        if await release_slot(database, names.slot, self.deadline):
            self.report(f"slot {names.slot} dropped")
        reach("recover.slot_dropped")
        await forget_offsets(connect, names.connector, self.deadline)
        self.report("offsets deleted")
        reach("recover.offsets_deleted")


def count_came(records: Sequence[tuple[str, tuple[int, int]]], before: tuple[int, int] | None) -> Mapping[str, int]:
    """Count records, given as (op, order): rows of snapshots, changes, and those of them that are not past *before*. Pure."""
    changes = [order for op, order in records if op in {"c", "u", "d", "t"}]
    return {
        "snapshot_rows": sum(op == "r" for op, _ in records),
        "changes": len(changes),
        "repeated_changes": sum(before is not None and order <= before for order in changes),
    }
