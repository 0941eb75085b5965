"""What a replay would do, as a value: `--dry-run` prints it, a person confirms it, tests compare it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from eventstore.errors import HistoryIncomplete, PreconditionFailed
from projections.control.generation import UNFINISHED, Generation, State
from replay.bound import Bound, find_unfinished, is_bounded
from replay.cost import Cost

UNENDED = frozenset({"building", "swapped"})
"""What a live generation's replay noted last when it was killed after the swap; a first generation notes nothing."""


class Step(StrEnum):
    """What to do first."""

    CREATE = "create"
    RESUME = "resume"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Plan:
    """A replay of *projection*: build *step* beside *live*, from *records* records in *partitions* partitions."""

    projection: str
    version: int
    fingerprint: str
    step: Step
    live: Generation | None
    target: Generation | None
    abandoned: Sequence[Generation]
    records: int
    topics: Mapping[str, int]
    cost: Cost = field(default_factory=Cost)
    changes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    bound: Bound | None = None

    @property
    def partitions(self) -> int:
        """Partitions to read, over all topics."""
        return sum(self.topics.values())

    @property
    def is_same_code(self) -> bool:
        """True when the live generation was built by this very code."""
        return self.live is not None and self.live.fingerprint == self.fingerprint

    @property
    def seconds(self) -> float:
        """A rough estimate of the build's duration in seconds."""
        return self.cost.seconds

    def lines(self) -> list[str]:
        """Give the plan in words."""
        live = f"g{self.live.number} v{self.live.version} code {self.live.fingerprint}" if self.live else "none yet"
        new = f"g{self.target.number}, resumed" if self.target else "a new generation"
        changed = "same code" if self.is_same_code else "changed code" if self.live else "first build"
        return [
            f"  live     {live}",
            f"  new      {new}, v{self.version} code {self.fingerprint} ({changed})",
            f"  source   {self.partitions} partitions, {self.records:,} records, first offset 0 (complete history)",
            *([f"  until    {self.bound.asked}; it is kept beside the live one and not swapped in"] if self.bound else []),
            *self.cost.lines(),
            *(f"  changed  {each}" for each in self.changes),
            *(f"  warning  {each}" for each in self.warnings),
        ]


def make_plan(
    known: Sequence[Generation], identity: tuple[str, int, str], bounds: Mapping[tuple[str, int], tuple[int, int]]
) -> Plan:
    """Decide what to do from the catalogue (*known*, newest first), the code's (name, version, fingerprint) and the log's bounds.

    Raises HistoryIncomplete that names the partitions whose log does not start at offset zero.
    """
    require_history(bounds)
    projection, version, fingerprint = identity
    live = next((each for each in known if each.state is State.LIVE), None)
    unfinished = [each for each in known if each.state in UNFINISHED and not is_bounded(each)]
    target = next((each for each in unfinished if each.fingerprint == fingerprint), None)
    step = Step.RESUME if target else Step.CREATE
    if live and not target and live.fingerprint == fingerprint and live.detail.get("replay") in UNENDED:
        target, step = live, Step.FINISH
    return Plan(
        projection,
        version,
        fingerprint,
        step,
        live,
        target,
        [each for each in unfinished if each is not target],
        records := sum(end for _, end in bounds.values()),
        Counter(topic for topic, _ in bounds),
        Cost(records),
    )


def bound_plan(plan: Plan, known: Sequence[Generation], bound: Bound) -> Plan:
    """Make *plan* one of a replay that stops at *bound*: it abandons no other build, and resumes its own. Pure.

    Raises PreconditionFailed while nothing is live, because a release's workers take the first generation there is for theirs.
    """
    if plan.live is None:
        raise PreconditionFailed(
            f"nothing of {plan.projection} is live yet: start `projections run` or replay without --until first; then look at the past"
        )
    target = find_unfinished(known, plan.fingerprint, bound)
    step = Step.RESUME if target else Step.CREATE
    records = sum(bound.vector.values())
    kept = Bound.recall(target) if target else bound
    return replace(plan, step=step, target=target, abandoned=(), records=records, cost=Cost(records), bound=kept)


def require_history(bounds: Mapping[tuple[str, int], tuple[int, int]]) -> None:
    """Raise HistoryIncomplete unless every partition still starts at offset zero."""
    cut = {each: first for each, (first, _) in bounds.items() if first > 0}
    if cut:
        named = ", ".join(f"{topic}[{partition}] starts at {first:,}" for (topic, partition), first in sorted(cut.items()))
        raise HistoryIncomplete(
            f"{named}: what lies before is gone, so a replay from the beginning would lose it. Nothing was changed. Events are still in "
            "the store: read them there with --from-store, or publish them into a new topic (REFOLD_KAFKA_TOPIC_PREFIX) with "
            "retention.ms=-1.",
            cut=[f"{topic}[{partition}]" for topic, partition in sorted(cut)],
        )
