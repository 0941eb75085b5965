"""Checks what happened in a run against what may happen: a port of Jepsen's Kafka checks to events, read models and swaps.

LOST: a recorded event that no read model shows. GHOST: one shown that was never recorded. DUP-EFFECT: one applied twice. REORDER:
versions of a stream applied in falling order. SKIP: a version applied before a recorded one below it. HALF: a request that saw
two generations, or a reader whose generations went back without a rollback. FOLD: rows that are not the fold of the log.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple


class Read(NamedTuple):
    """One request: who asked, and the generations whose rows it saw."""

    reader: int
    generations: frozenset[int]


@dataclass(frozen=True)
class History:
    """One run. *recorded* and *applied* hold the versions of each stream, the latter in the order in which they were applied.

    *swaps* lists the generations that became live, in order, and *found* and *expected* the rows at the end.
    """

    recorded: Mapping[str, Sequence[int]]
    applied: Mapping[str, Sequence[int]]
    reads: Sequence[Read] = ()
    swaps: Sequence[int] = ()
    found: Any = None
    expected: Any = None


class Violation(NamedTuple):
    """One thing that must not happen, and where it did."""

    kind: str
    where: str


def check(history: History) -> list[Violation]:
    """Give every violation in *history*; none = the run was right."""
    return [*_check_streams(history), *_check_reads(history), *_check_fold(history)]


def judge(history: History) -> None:
    """Demand that nothing is wrong with *history*."""
    assert check(history) == []


def kinds(history: History) -> set[str]:
    """Give the kinds of violations in *history*."""
    return {each.kind for each in check(history)}


def _check_streams(history: History) -> Iterable[Violation]:
    for stream in sorted({*history.recorded, *history.applied}):
        recorded, applied = set(history.recorded.get(stream, ())), list(history.applied.get(stream, ()))
        for version in sorted(recorded - set(applied)):
            yield Violation("LOST", f"{stream} v{version}")
        for version in sorted(set(applied) - recorded):
            yield Violation("GHOST", f"{stream} v{version}")
        for version in sorted({each for each in applied if applied.count(each) > 1}):
            yield Violation("DUP-EFFECT", f"{stream} v{version}")
        for before, after in pairwise([0, *applied]):
            if after < before:
                yield Violation("REORDER", f"{stream} v{after} after v{before}")
            elif any(before < each < after for each in recorded):
                yield Violation("SKIP", f"{stream} v{after} after v{before}")


def _check_reads(history: History) -> Iterable[Violation]:
    latest: dict[int, int] = {}
    for read in history.reads:
        if len(read.generations) != 1:
            yield Violation("HALF", f"reader {read.reader} saw generations {sorted(read.generations)} at once")
            continue
        [generation] = read.generations
        start = latest.get(read.reader, 0)
        try:
            latest[read.reader] = history.swaps.index(generation, start)
        except ValueError:
            yield Violation("HALF", f"reader {read.reader} saw generation {generation} after it was no longer live")


def _check_fold(history: History) -> Iterable[Violation]:
    if history.found != history.expected:
        yield Violation("FOLD", "the rows are not the fold of the log")
