"""What benchmarks stand on: programs that are followed, and tables of ratios."""

import sys

import pytest

from benchmarks import ground, swap, targets, visible
from benchmarks.replay import TARGETS, TEXTS, show, write_rows

PROGRAM = """
import sys
print('{"progress":"build","done":7}', file=sys.stderr, flush=True)
held = bytearray(64 << 20)
print('a line before')
print('{"rate": 12.5}')
"""


def test_follows_a_program() -> None:
    """A program's last line is its facts, and its memory is known at its highest."""
    course = ground.follow(sys.executable, "-c", PROGRAM)
    assert course.facts == {"rate": 12.5}
    assert course.peak > 64


def test_ends_with_a_program_that_fails() -> None:
    """A benchmark ends with the words of the program that failed."""
    with pytest.raises(SystemExit, match="no such luck"):
        ground.child(sys.executable, "-c", "raise SystemExit('no such luck')")


def test_shows_ratios() -> None:
    """The table has a line for everything measured, and says which targets are met and which are missed."""
    found = {name: [{"rate": 1_000.0, "peak_mb": 10.0, "cpu_s": 1.0}] for name in TEXTS}
    found["bare"][0]["rate"] = 1_500.0
    found["eventsourcing"][0]["rate"] = 2.0
    lines = show(found).splitlines()
    assert len(lines) == 1 + len(TEXTS) + len(TARGETS)
    said = {line.partition(":")[0].split(maxsplit=1)[1]: line.split()[0] for line in lines[1 + len(TEXTS) :]}
    assert said["balances / bare"] == "MISSED"
    assert said["balances / eventsourcing"] == "met"
    assert said["ledger / bare"] == "met"


def test_writes_rows() -> None:
    """The rows for the documentation have three digits and the ratio to the bare loop."""
    found = {name: [{"rate": 262_144.0, "peak_mb": 10.0, "cpu_s": 1.0}] for name in ("bare", "balances")}
    assert write_rows(found).splitlines() == [
        "| bare aiokafka + orjson loop, no writes | 262,000 | 1 |",
        "| refold, a balance per key | 262,000 | 1 |",
    ]


def test_shows_targets() -> None:
    """What is promised of swaps and of what becomes visible is said with its figure, met or missed."""
    read = {"reads while swapping, ms": {"p50": 3.0, "p99": 51.0}, "half reads": [], "back in time": [], "errors": ["late"]}
    said = [line.split()[0] for line in targets.show(swap.list_targets(read)).splitlines()]
    assert said == ["MISSED", "met", "met", "MISSED"]
    seen = {"in peace, ms": {"visible": {"p99": 80.0}}, "beside / in peace": {"p50": 1.1, "p99": 2.5}}
    assert [each.is_met for each in visible.list_targets(seen)] == [True, True, False]
