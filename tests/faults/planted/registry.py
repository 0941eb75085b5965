"""The wrong variants, each with the run that shows it and what the checker must find there."""

from typing import Any

import aiokafka

import eventstore.log.consumer
import eventstore.relay.relay
import replay.chain
import replay.run
from eventstore.log.assigned import AssignedReader
from eventstore.log.backlog import Backlog
from eventstore.postgres.engine import checkout
from eventstore.stream import START
from projections.control.catalogue import move
from projections.control.generation import State
from replay.construction.builder import Builder
from replay.verification.trial import Trial
from tests.faults.planted import logs, orders, pipelines, swaps
from tests.faults.planted.place import REFUSED, Bug, Place, Scenario
from tests.faults.schedule import Reader


def use(kind: type[pipelines.Pipeline]) -> Any:
    """Plant a pipeline of *kind*."""

    def plant(place: Place) -> None:
        place.pipeline = kind

    return plant


def choose(name: str, value: Any = True) -> Any:
    """Plant a choice that the run itself makes."""

    def plant(place: Place) -> None:
        place.options[name] = value

    return plant


def read_by(kind: type[Reader]) -> Any:
    """Plant a design of an ordered reader."""
    return choose("reader", kind)


def judge_nothing(place: Place) -> None:
    async def judge(self: Any, generation: Any, report: Any, choices: Any) -> Any:
        async with checkout(self._engine) as connection:
            return await move(connection, generation, State.VERIFIED)

    async def allow(engine: Any, generation: Any) -> None:
        """Let a swap pass that would look once more."""

    place.patch.setattr(Trial, "judge", judge)
    place.patch.setattr(replay.run, "require_unparked", allow)


def compare_anywhere(place: Place) -> None:
    async def can_compare(*_: object) -> bool:
        return True

    async def advance_to(self: Any, goal: Any) -> None:
        await self.catch_up()

    place.patch.setattr(Trial, "_can_compare", can_compare)
    place.patch.setattr(Builder, "advance_to", advance_to)


def wait_for_nobody(place: Place) -> None:
    place.options["hasty"] = True
    place.patch.setattr(replay.chain, "wait_for_workers", lambda *_: swaps._reach_nothing)


def release_early(place: Place) -> None:
    real = AssignedReader.release
    place.patch.setattr(AssignedReader, "release", lambda self, partition, offset: real(self, partition, max(0, offset - 2)))


def keep_backlog(place: Place) -> None:
    place.patch.setattr(Backlog, "clear", lambda self: None)


def read_uncommitted(place: Place) -> None:
    def make(**options: Any) -> Any:
        return aiokafka.AIOKafkaConsumer(**{**options, "isolation_level": "read_uncommitted"})

    place.patch.setattr(eventstore.log.consumer, "AIOKafkaConsumer", make)


def forget_stands(place: Place) -> None:
    real = eventstore.relay.relay.find_stands

    async def find_stands(*arguments: Any) -> Any:
        return dict.fromkeys(await real(*arguments) or {}, START) or None

    place.patch.setattr(eventstore.relay.relay, "find_stands", find_stands)


def _bug(name: str, does: str, scenario: Scenario, plant: Any, *found: str) -> Bug:
    return Bug(name, does, scenario, plant, frozenset(found))


BUGS = (
    _bug(
        "no epoch",
        "a checkpoint is moved whoever owns it",
        pipelines.sleep_through_takeover,
        use(pipelines.Unfenced),
        "DUP-EFFECT",
    ),
    _bug(
        "offsets first", "offsets are committed before rows", pipelines.crash_while_writing, use(pipelines.OffsetsFirst), "LOST"
    ),
    _bug(
        "rows first", "rows are committed before offsets", pipelines.crash_while_writing, use(pipelines.RowsFirst), "DUP-EFFECT"
    ),
    _bug("forgotten key", "what comes after a parked record is applied", pipelines.meet_poison, use(pipelines.Unparked), "GHOST"),
    _bug("half a handler", "a failing handler leaves what it did", pipelines.meet_poison, use(pipelines.Careless), "GHOST"),
    _bug("kept rows", "rows that others touch stay in memory", pipelines.share_rows, use(pipelines.Hoarding), "FOLD"),
    _bug(
        "stale prefetch",
        "what was fetched before a takeover is applied after it",
        logs.hold_prefetched,
        keep_backlog,
        "DUP-EFFECT",
    ),
    _bug("seam twice", "Kafka begins before the archive's end", logs.cross_seam, release_early, "DUP-EFFECT"),
    _bug("reads uncommitted", "records of an aborted transaction are applied", logs.read_aborted, read_uncommitted, "GHOST"),
    _bug("relay from zero", "a relay does not look where the log ends", logs.relay_twice, forget_stands, "DUP-LOG"),
    _bug("new ids", "an append is repeated under other ids", orders.repeat_append, choose("new ids"), "GHOST"),
    _bug(
        "sequence as checkpoint",
        "readers go on behind the highest number",
        orders.follow_writers,
        read_by(orders.BySequence),
        "LOST",
    ),
    _bug("gap by timer", "a gap is skipped after a while", orders.follow_writers, read_by(orders.SkipsGaps), "LOST", "LATE"),
    _bug(
        "late horizon",
        "the horizon comes from a second statement",
        orders.follow_writers,
        read_by(orders.LooksTwice),
        "LOST",
        "LATE",
    ),
    _bug("no guard", "a stream's transaction ids may fall", orders.follow_early_starters, choose("unguarded"), "REORDER"),
    _bug("swap unverified", "a build goes live whatever its trial says", swaps.build_incomplete, judge_nothing, "LOST"),
    _bug("two vectors", "generations are compared at different offsets", swaps.compare_behind, compare_anywhere, REFUSED),
    _bug("swap ahead", "a swap does not wait for the vector", swaps.swap_ahead, choose("hasty"), "LOST"),
    _bug("stale rollback", "a rollback does not wait for it either", swaps.roll_back_stale, wait_for_nobody, "LOST"),
    _bug(
        "pointer per table",
        "a request asks again which generation is live",
        swaps.read_over_swap,
        choose("resolves twice"),
        "HALF",
    ),
)
SCENARIOS: tuple[Scenario, ...] = tuple(dict.fromkeys(each.scenario for each in BUGS))
