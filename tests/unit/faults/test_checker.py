"""The checker of operations: each class of bad history is found, and as nothing else; unknown outcomes are no errors."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from tests.faults.checker import examine
from tests.faults.operations import Operation, Recorder, count_bites, load, require_bites

VALUES = {"a1": 5, "a2": -2, "a3": 7, "b1": 1}


class Story:
    """Tells a history line by line; event a2 is version 2 of stream a."""

    def __init__(self) -> None:
        self.lines: list[Operation] = []

    def tell(self, process: str, outcome: str, f: str, event: str = "", **fields) -> "Story":
        about = {"stream": event[0], "version": int(event[1:]), "event_id": event, "key": event[0]} if event else {}
        if event in VALUES:
            about["value"] = VALUES[event]
        self.lines.append(Operation(process=process, type=outcome, f=f, t_ns=len(self.lines), **{**about, **fields}))
        return self

    def append(self, *events: str, outcome: str = "ok") -> "Story":
        for each in events:
            self.tell("writer", "invoke", "append", each, version=None)
            self.tell("writer", outcome, "append", each)
        return self

    def publish(self, *events: str, start: int = 0) -> "Story":
        for offset, each in enumerate(events, start):
            self.tell("reader", "ok", "publish", each, partition=0, offset=offset)
        return self

    def project(self, *events: str, worker: str = "w1") -> "Story":
        for each in events:
            self.tell(worker, "ok", "project", each, projection="p", pversion=1)
        return self

    def done(self) -> "Story":
        return self.tell("test", "ok", "caught_up").tell("test", "ok", "caught_up", projection="p", pversion=1)

    def swap(self, *generations: int, rollback: bool = False) -> "Story":
        for each in generations:
            self.tell("operator", "ok", "swap", projection="p", pversion=each, rollback=rollback)
        return self

    def read(self, *generations: int) -> "Story":
        return self.tell("user", "ok", "read", projection="p", pversions=generations)

    def look(self, version: int, *, own: int = 0) -> "Story":
        return self.tell("user", "ok", "read", projection="p", pversions=(1,), stream="a", version=version, expected=own)

    def says(self, key: str, **right) -> "Story":
        return self.tell("test", "ok", "aggregate", projection="p", pversion=1, key=key, value=right)


ALL = ("a1", "a2", "a3", "b1")
SUMS = {"echo": 7, "count": 3, "sum": 10, "min": -2, "max": 7}


def story() -> Story:
    return Story()


def good() -> Story:
    """Tell a run in which nothing went wrong."""
    return story().append(*ALL).publish(*ALL).project(*ALL).done()


def test_good_history() -> None:
    """A right run has neither violations nor notes."""
    right = good().swap(1, 2).look(2, own=1).look(2).look(3).read(1).read(2).swap(1, rollback=True).read(1).says("a", **SUMS)
    report = examine(right.tell("test", "ok", "fold", value=1, expected=1).lines)
    assert (report.violations, report.notes) == ([], [])


BAD = {
    "log-lacks-version-below": ("LOST", story().append(*ALL).publish("a1", "a3", "b1").done().project(*ALL)),
    "read-model-lacks-event": ("LOST", story().append("a1", "a2").publish("a1", "a2").project("a2").done()),
    "never-published": ("LATE", story().append(*ALL).publish("a1", "a2", "b1").project(*ALL).done()),
    "nothing-published": ("LATE", story().append(*ALL).project(*ALL).done()),
    "applied-twice": ("DUP-EFFECT", story().append("a1").publish("a1").project("a1", "a1").done()),
    "one-offset-two-events": ("FORK", good().tell("reader", "ok", "publish", "a3", partition=0, offset=1)),
    "one-version-two-events": (
        "FORK",
        story().append("a1").publish("a1").append("b1").tell("w", "ok", "publish", "b1", stream="a", partition=1, offset=0),
    ),
    "rolled-back-yet-published": ("GHOST", story().append("a1", outcome="fail").publish("a1")),
    "rolled-back-yet-applied": ("GHOST", story().append("a1").publish("a1").append("a2", outcome="fail").project("a1", "a2")),
    "never-appended": ("GHOST", story().append("a1").publish("a1", "a2")),
    "published-before-append": ("EARLY", story().publish("a1").append("a1")),
    "applied-before-commit": (
        "EARLY",
        story().append("a1").publish().project("a1").tell("writer", "invoke", "commit", "a1").publish("a1"),
    ),
    "applied-backwards": ("REORDER", story().append("a1", "a2").publish("a1", "a2").project("a2").project("a1", worker="w2")),
    "published-backwards": ("REORDER", story().append("a1", "a2").publish("a2", "a1")),
    "worker-skips": (
        "SKIP",
        story().append(*ALL).publish(*ALL).project("a1").project("a2", worker="w2").project("a3", "b1").done(),
    ),
    "two-generations-at-once": ("HALF", good().swap(1, 2).read(1, 2)),
    "reader-goes-back": ("HALF", good().swap(1, 2).read(2).read(1)),
    "reader-sees-unborn": ("HALF", good().swap(1).read(2)),
    "pointer-goes-back": ("HALF", good().swap(1, 2, 1)),
    "reader-sees-less": ("BACK", good().swap(1).look(3).look(2)),
    "own-write-is-missing": ("BACK", good().swap(1).look(2, own=3)),
    "rows-are-no-fold": ("FOLD", good().tell("test", "ok", "fold", projection="p", value=1, expected=2)),
    "echo-is-stale": ("ALGEBRA", good().says("a", **{**SUMS, "echo": -2})),
    "count-counts-twice": ("ALGEBRA", good().says("a", **{**SUMS, "count": 4})),
    "sum-is-off": ("ALGEBRA", good().says("a", **{**SUMS, "sum": 15})),
    "min-misses": ("ALGEBRA", good().says("a", **{**SUMS, "min": 5})),
    "max-misses": ("ALGEBRA", good().says("a", **{**SUMS, "max": 5})),
    "key-from-nowhere": ("ALGEBRA", good().says("z", **SUMS)),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_history(name: str) -> None:
    """Each bad history is found, and is nothing else."""
    kind, told = BAD[name]
    assert examine(told.lines).kinds == {kind}


def test_every_class_has_a_fixture() -> None:
    """The classes of the checker's own table each have a history that they find."""
    assert {kind for kind, _ in BAD.values()} == {
        "LOST", "LATE", "DUP-EFFECT", "FORK", "GHOST", "EARLY", "REORDER", "SKIP", "HALF", "BACK", "FOLD", "ALGEBRA",
    }  # fmt: skip


def test_allowed_oddities() -> None:
    """A record twice in the log, and an event that a sink has yet to see, are notes; the algebra counts the record once."""
    twice = story().append(*ALL).publish(*ALL).publish("a2", "a3", start=4).project(*ALL).done().says("a", **SUMS)
    assert (examine(twice.lines).violations, {each.kind for each in examine(twice.lines).notes}) == ([], {"DUP-LOG"})
    late = story().append(*ALL).publish("a1", "a2").project("a1")
    assert (examine(late.lines).violations, {each.kind for each in examine(late.lines).notes}) == ([], {"late"})
    seen_by_two = good().publish(*ALL)
    assert examine(seen_by_two.lines).notes == []


@pytest.mark.parametrize("seen", [True, False])
@pytest.mark.parametrize("outcome", ["info", None])
def test_unknown_outcome(outcome: str | None, seen: bool) -> None:
    """An append whose outcome is unknown, or whose process died, is no error, whether it happened or not."""
    told = story().append("a1")
    told.tell("writer", "invoke", "append", "a2", version=None)
    if outcome:
        told.tell("writer", outcome, "append", "a2", version=None)
    events = ("a1", "a2") if seen else ("a1",)
    assert examine(told.publish(*events).project(*events).done().lines).violations == []


def test_unknown_then_repeated() -> None:
    """An append whose reply was lost and whose repetition is refused as a lost race may have happened all the same."""
    told = story().append("a1", outcome="info").append("a1", outcome="fail").publish("a1")
    assert examine(told.lines).violations == []


def test_rebalance_is_excepted() -> None:
    """A worker that got its partitions anew may start anywhere."""
    told = story().append(*ALL).publish(*ALL).project("a1").project("a2", worker="w2")
    told.tell("w1", "ok", "rebalance", projection="p", pversion=1)
    assert examine(told.project("a3", "b1").done().lines).violations == []


def _scribble(path: Path, number: int, wait: int) -> None:
    recorder = Recorder(path, f"p{number}")
    for each in range(200):
        with recorder.operation("append", stream="s", event_id=f"{number}-{each}") as found:
            found["version"] = each
    os.write(wait, b".")
    recorder.note("invoke", "append", stream="s", event_id=f"{number}-last")
    os.kill(os.getpid(), signal.SIGKILL)


def test_recorder_across_processes(tmp_path: Path) -> None:
    """Processes that write at once and are killed leave whole lines, in the order of time, and an open operation each."""
    path, context = tmp_path / "history.jsonl", multiprocessing.get_context("fork")
    reading, writing = os.pipe()
    children = [context.Process(target=_scribble, args=(path, each, writing)) for each in range(4)]
    for each in children:
        each.start()
    for each in children:
        each.join()
    os.close(reading)
    os.close(writing)
    found = load(path)
    assert len(found) == 4 * 401
    assert [each.t_ns for each in found] == sorted(each.t_ns for each in found)
    for number in range(4):
        own = [each for each in found if each.process == f"p{number}"]
        assert [each.version for each in own if each.type == "ok"] == list(range(200))
        assert (own[-1].type, own[-1].event_id) == ("invoke", f"{number}-last")


def test_outcomes(tmp_path: Path) -> None:
    """An operation ends ok, fails for the errors that say so, and is unknown for any other; lines come back as written."""
    recorder = Recorder(tmp_path / "history.jsonl", "me")
    with recorder.operation("append", stream="s", event_id="1") as found:
        found["version"] = 1
    with pytest.raises(KeyError), recorder.operation("append", KeyError, stream="s", event_id="2"):
        raise KeyError
    with pytest.raises(OSError, match="gone"), recorder.operation("append", KeyError, stream="s", event_id="3"):
        raise OSError("gone")
    recorder.note("ok", "read", projection="p", pversions=(1, 2))
    recorder.close()
    told = load(tmp_path / "history.jsonl")
    assert [each.type for each in told] == ["invoke", "ok", "invoke", "fail", "invoke", "info", "ok"]
    assert told[0].call == told[1].call != told[2].call
    assert (told[1].version, told[-1].pversions) == (1, (1, 2))


def test_ledger(tmp_path: Path) -> None:
    """A run in which a fault never had an effect fails, and names the fault."""
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.bite("kill")
    recorder.bite("kill")
    recorder.close()
    told = load(tmp_path / "history.jsonl")
    assert count_bites(told) == {"kill": 2}
    require_bites(told, "kill")
    with pytest.raises(AssertionError, match="never bit: cut"):
        require_bites(told, "kill", "cut")
