"""Checks the operations of a run (tests/faults/operations.py) against what may happen: Jepsen's Kafka checks, and those of our own.

An **append** is invoked with a stream and an event id and ends `ok` with a version, `fail` or `info`; a **commit** is the later
moment of an append inside a transaction. **publish** = an event was found in the log, at a partition and offset; **project** =
a worker (the process) applied it to a generation (projection, pversion); **rebalance** = that worker got its partitions anew.
**read** = a request and the generations it saw, **swap** = the pointer moved, **aggregate** = what a generation says of a key
(value = echo, count, sum, min, max), **fold** = rows found and expected, **caught_up** = a sink (projection, none = the log) has
everything now. A sink's operations are looked at in the order of their times. A read may name the stream, the highest version that it
saw of it, and the one that it had to see (*expected*): its own write.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.faults.history import Violation
from tests.faults.operations import Operation

Sink = tuple[str | None, int | None]
LOG: Sink = (None, None)


@dataclass(frozen=True)
class Report:
    """What must not happen (*violations*) and what may, but should be known (*notes*)."""

    violations: list[Violation] = field(default_factory=list)
    notes: list[Violation] = field(default_factory=list)

    @property
    def kinds(self) -> set[str]:
        """The classes of the violations."""
        return {each.kind for each in self.violations}


class Run:
    """A history, indexed: which appends are certain, which impossible, and what every sink showed."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.all = sorted(operations, key=lambda each: each.t_ns)
        self.appends = {each.event_id: each for each in self.of("append") if each.type == "ok"}
        ended = {each.event_id for each in self.of("append") if each.type == "info"} | set(self.appends)
        self.failed = {each.event_id for each in self.of("append") if each.type == "fail"} - ended
        self.invoked = {each.event_id: each.t_ns for each in reversed(self.of("append")) if each.type == "invoke"}
        self.known = {*self.invoked, *self.appends}
        self.sinks: dict[Sink, list[Operation]] = defaultdict(list)
        for each in self.all:
            if each.type == "ok" and each.f in {"publish", "project"}:
                self.sinks[each.projection, each.pversion].append(each)
        self.complete: set[Sink] = {(each.projection, each.pversion) for each in self.of("caught_up")}

    def of(self, *names: str) -> list[Operation]:
        """Give the operations of these kinds."""
        return [each for each in self.all if each.f in names]


def examine(operations: Iterable[Operation]) -> Report:
    """Check everything. A record twice in the log is a note; so is an event not seen yet by a sink that has not caught up."""
    run, report = Run(operations), Report()
    for rule in (_lost, _forked, _ghosts, _early, _repeated, _misplaced, _skipped, _halved, _receded, _unequal, _folds):
        for each in rule(run):
            allowed = each.kind == "DUP-LOG" or each.kind == "late"
            (report.notes if allowed else report.violations).append(each)
    return report


def _lost(run: Run) -> Iterator[Violation]:
    for sink in {*run.sinks, *run.complete}:
        seen = {each.event_id for each in run.sinks[sink]}
        highest: dict[Any, int] = defaultdict(int)
        for each in run.sinks[sink]:
            highest[each.stream] = max(highest[each.stream], each.version or 0)
        for one in run.appends.values():
            if one.event_id in seen:
                continue
            kind = "LOST" if (one.version or 0) <= highest[one.stream] else "LATE" if sink in run.complete else "late"
            yield Violation(kind, f"{_name(sink)}: {one.stream} v{one.version}")


def _forked(run: Run) -> Iterator[Violation]:
    places: dict[tuple[Any, ...], set[Any]] = defaultdict(set)
    for each in run.of("append", "publish", "project"):
        if each.type == "ok" and each.version is not None:
            places["version", each.stream, each.version].add(each.event_id)
        if each.f == "publish" and each.offset is not None:
            places["offset", each.partition, each.offset].add(each.event_id)
    for place, events in places.items():
        if len(events) > 1:
            yield Violation("FORK", f"{place} holds {sorted(map(str, events))}")


def _ghosts(run: Run) -> Iterator[Violation]:
    for sink, shown in run.sinks.items():
        for each in shown:
            if each.event_id in run.failed or each.event_id not in run.known:
                yield Violation("GHOST", f"{_name(sink)}: {each.stream} v{each.version}")


def _early(run: Run) -> Iterator[Violation]:
    commits = {each.event_id: each.t_ns for each in run.of("commit") if each.type == "invoke"}
    for sink, shown in run.sinks.items():
        for each in shown:
            since = commits.get(each.event_id, run.invoked.get(each.event_id))
            if since is not None and each.t_ns < since:
                yield Violation("EARLY", f"{_name(sink)}: {each.stream} v{each.version}")


def _repeated(run: Run) -> Iterator[Violation]:
    for sink, shown in run.sinks.items():
        # A record that two readers of the log saw lies at one offset; a record that was written twice lies at two.
        times = Counter({(each.event_id, each.partition, each.offset) for each in shown} if sink == LOG else [])
        ids = Counter(event for event, *_ in times) if sink == LOG else Counter(each.event_id for each in shown)
        for event, count in ids.items():
            if count > 1:
                yield Violation("DUP-LOG" if sink == LOG else "DUP-EFFECT", f"{_name(sink)}: {event} {count} times")


def _misplaced(run: Run) -> Iterator[Violation]:
    for sink, shown in run.sinks.items():
        lines: dict[Any, list[Operation]] = defaultdict(list)
        for each in sorted(shown, key=lambda one: (one.partition or 0, one.offset or 0)) if sink == LOG else shown:
            lines[each.stream].append(each)
        for stream, versions in lines.items():
            fresh = _first_times(versions) if sink == LOG else versions
            for before, after in pairwise(fresh):
                if (after.version or 0) < (before.version or 0):
                    yield Violation("REORDER", f"{_name(sink)}: {stream} v{after.version} after v{before.version}")


def _skipped(run: Run) -> Iterator[Violation]:
    recorded: dict[Any, set[int]] = defaultdict(set)
    for one in run.appends.values():
        recorded[one.stream].add(one.version or 0)
    at: dict[tuple[str, Sink], dict[Any, int]] = defaultdict(dict)
    for each in run.of("project", "rebalance"):
        sink = (each.projection, each.pversion)
        stands = at[each.process, sink]
        if each.f == "rebalance":
            stands.clear()
            continue
        before, after = stands.get(each.stream), each.version or 0
        if before is not None and any(before < between < after for between in recorded[each.stream]):
            yield Violation("SKIP", f"{_name(sink)}: {each.process} applied {each.stream} v{after} after v{before}")
        stands[each.stream] = after


def _halved(run: Run) -> Iterator[Violation]:
    swaps: dict[Any, list[Operation]] = defaultdict(list)
    for each in run.of("swap"):
        if each.type == "ok":
            swaps[each.projection].append(each)
    for projection, moves in swaps.items():
        for before, after in pairwise(moves):
            if (after.pversion or 0) < (before.pversion or 0) and not after.rollback:
                yield Violation("HALF", f"{projection}: the pointer went from {before.pversion} to {after.pversion}")
    yield from _mixed(run, {projection: [each.pversion for each in moves] for projection, moves in swaps.items()})


def _mixed(run: Run, order: dict[Any, list[int | None]]) -> Iterator[Violation]:
    stands: dict[tuple[str, Any], int] = {}
    for each in (one for one in run.of("read") if one.type == "ok"):
        seen, who = sorted(set(each.pversions)), (each.process, each.projection)
        start = stands.get(who, 0)
        live = order.get(each.projection, [])
        if len(seen) != 1:
            yield Violation("HALF", f"{each.process} saw generations {seen} of {each.projection} at once")
        elif seen[0] not in live[start:]:
            yield Violation("HALF", f"{each.process} saw generation {seen[0]} of {each.projection} after it was left")
        else:
            stands[who] = live.index(seen[0], start)


def _receded(run: Run) -> Iterator[Violation]:
    highest: dict[tuple[str, Any, Any], int] = defaultdict(int)
    for each in (one for one in run.of("read") if one.type == "ok" and one.stream is not None):
        who, seen = (each.process, each.projection, each.stream), each.version or 0
        if seen < highest[who]:
            yield Violation("BACK", f"{each.process} saw {each.stream} v{seen} after v{highest[who]}")
        elif seen < (each.expected or 0):
            yield Violation("BACK", f"{each.process} saw {each.stream} v{seen} after it had recorded v{each.expected}")
        highest[who] = max(highest[who], seen)


def _unequal(run: Run) -> Iterator[Violation]:
    values: dict[Any, list[Any]] = defaultdict(list)
    for each in _first_times(sorted(run.sinks[LOG], key=lambda one: (one.partition or 0, one.offset or 0))):
        values[each.key].append(each.value)
    for each in run.of("aggregate"):
        log = values[each.key]
        right = {"echo": log[-1], "count": len(log), "sum": sum(log), "min": min(log), "max": max(log)} if log else {}
        for name in sorted({*right, *each.value}):
            if each.value.get(name) != right.get(name):
                yield Violation(
                    "ALGEBRA", f"{each.projection} says {name} of {each.key} = {each.value.get(name)}, the log {right.get(name)}"
                )


def _folds(run: Run) -> Iterator[Violation]:
    for each in run.of("fold"):
        if each.value != each.expected:
            yield Violation("FOLD", f"{each.projection} is not the fold of the log: {each.value} instead of {each.expected}")


def _first_times(operations: Sequence[Operation]) -> list[Operation]:
    """Leave out what was seen before: another reader's sight of the same record, or its allowed repetition."""
    return list({each.event_id: each for each in reversed(operations)}.values())[::-1]


def _name(sink: Sink) -> str:
    return "log" if sink == LOG else f"{sink[0]} {sink[1]}"
