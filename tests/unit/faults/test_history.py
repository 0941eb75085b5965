"""The checker of histories, first of all on bad ones: a checker that never fails proves nothing."""

import pytest

from tests.faults.history import History, Read, Violation, check, kinds

GOOD = {"a": [1, 2, 3], "b": [1]}


def reads(*seen):
    return [Read(reader, frozenset(generations)) for reader, *generations in seen]


def test_good_history():
    """A right run has no violation."""
    seen = reads((0, 1), (1, 1), (0, 2), (1, 2), (0, 1))
    assert check(History(GOOD, GOOD, seen, swaps=[1, 2, 1], found={"x": 1}, expected={"x": 1})) == []


@pytest.mark.parametrize(
    ("applied", "violations"),
    [
        ({"a": [1, 2], "b": [1]}, [Violation("LOST", "a v3")]),
        ({"a": [1, 2, 3]}, [Violation("LOST", "b v1")]),
        ({"a": [1, 2, 3, 4], "b": [1]}, [Violation("GHOST", "a v4")]),
        ({"a": [1, 2, 3], "b": [1], "c": [1]}, [Violation("GHOST", "c v1")]),
        ({"a": [1, 2, 2, 3], "b": [1]}, [Violation("DUP-EFFECT", "a v2")]),
        ({"a": [1, 3], "b": [1]}, [Violation("LOST", "a v2"), Violation("SKIP", "a v3 after v1")]),
        ({"a": [1, 3, 2], "b": [1]}, [Violation("SKIP", "a v3 after v1"), Violation("REORDER", "a v2 after v3")]),
    ],
)
def test_bad_streams(applied, violations):
    """Lost, invented, repeated, skipped and misplaced events are each found and named."""
    assert check(History(GOOD, applied)) == violations


@pytest.mark.parametrize(
    "seen",
    [
        reads((0, 1, 2)),
        reads((0, 2), (0, 1)),
        reads((0, 3)),
        reads((0, 1), (1, 2), (0, 2), (1, 1)),
    ],
)
def test_bad_reads(seen):
    """A request of two generations, and a reader who goes back, are found."""
    assert kinds(History({}, {}, seen, swaps=[1, 2])) == {"HALF"}


def test_bad_fold():
    """Rows that are not the fold of the log are found."""
    assert kinds(History({}, {}, found={"x": 1}, expected={"x": 2})) == {"FOLD"}
