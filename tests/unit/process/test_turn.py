"""One turn of a process, pure."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import event
from eventstore.errors import UsageError
from eventstore.identity import derive_id, make_id
from eventstore.process import Cancel, Complete, Effect, Process, Processes, Schedule, Send, command
from eventstore.process.turn import Stimulus, Turn

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@event("turn-test-told")
class Told:
    effects: list[Any]


@command("turn-test-act")
class Act:
    n: int = 0


def make(effects: list[Effect], *, timer: str | None = None, instance: str = "a") -> Stimulus:
    told = object.__new__(Told)
    object.__setattr__(told, "effects", effects)
    return Stimulus(make_id(), instance, told, NOON, {}, timer)


process: Process[Told, int] = Process("turns", lambda _: 0, lambda n, _: n + 1, lambda _, told: told.effects, events=[Told])
effects = st.lists(
    st.one_of(
        st.builds(Schedule, st.sampled_from("xyz"), st.builds(Act, st.integers(0, 9))),
        st.builds(Cancel, st.sampled_from("xyz")),
        st.builds(Send, st.sampled_from("st"), st.builds(Act)),
        st.just(Complete()),
    ),
    max_size=4,
)


class Simple:
    """What a process leaves behind, by the plainest reading of its effects."""

    def __init__(self) -> None:
        self.timers: dict[str, int] = {}
        self.sent = self.count = 0
        self.over = False

    def take(self, wanted: list[Effect]) -> None:
        if self.over:
            return
        self.count += 1
        for each in wanted:
            self.over = self.over or isinstance(each, Complete)
            self.sent += isinstance(each, Send)
            if isinstance(each, Schedule):
                self.timers[each.name] = each.timeout.n  # type: ignore[attr-defined]
            elif isinstance(each, Cancel):
                self.timers.pop(each.name, None)
            if self.over:
                self.timers.clear()


@given(batches=st.lists(effects, min_size=1, max_size=8))
def test_equals_one_by_one(batches: list[list[Effect]]) -> None:
    """A batch leaves the timers, sends and states behind that its stimuli leave one by one."""
    turn, simple = Turn(process, {}), Simple()
    for each in batches:
        turn.take(make(each))
        simple.take(each)
    assert {task.timer: task.data.n for task in turn.timers.values() if task} == simple.timers
    assert len(turn.tasks) == simple.sent
    assert (turn.instances["a"].state, turn.instances["a"].completed) == (simple.count, simple.over)


def test_same_ids() -> None:
    """A turn that is taken again wants the very same tasks, so writing them down twice is writing them once."""
    stimulus = make([Send("s", Act()), Send("s", Act())])
    first, second = Turn(process, {}), Turn(process, {})
    first.take(stimulus)
    second.take(stimulus)
    assert first.tasks == second.tasks
    assert len({each.id for each in first.tasks}) == 2
    assert first.tasks[0].due == NOON


def test_replaced_timer_is_not_delivered() -> None:
    """A timeout that an event of the same batch cancelled or replaced is not reacted to."""
    turn = Turn(process, {})
    turn.take(make([Cancel("x")]))
    turn.take(make([Send("s", Act())], timer="x"))
    assert turn.tasks == []
    turn.take(make([Send("s", Act())], timer="y"))
    assert len(turn.tasks) == 1


def test_mistakes() -> None:
    """What is no effect, no command, no process name, or has two deciders is refused with what to do."""
    turn = Turn(process, {})
    with pytest.raises(UsageError, match="react gives Send"):
        turn.take(make(["nonsense"]))  # type: ignore[list-item]
    with pytest.raises(UsageError, match="is not an event"):
        turn.take(make([Send("s", object())]))
    with pytest.raises(UsageError, match="kebab-case"):
        Process("Not so", lambda _: 0, lambda n, _: n, lambda *_: [], events=[Told])
    with pytest.raises(UsageError, match="reads no events"):
        Process("idle", lambda _: 0, lambda n, _: n, lambda *_: [], events=[])
    with pytest.raises(UsageError, match="names of their own"):
        Processes(process, process)


@given(parts=st.lists(st.text(max_size=3), min_size=1, max_size=3), other=st.lists(st.text(max_size=3), min_size=1, max_size=3))
def test_derived_ids(parts: list[str], other: list[str]) -> None:
    """Derived ids are equal for equal parts only, keep the time of their cause, and are UUIDs of version 8."""
    cause = make_id()
    made = derive_id(cause, *parts)
    assert made == derive_id(cause, *parts)
    assert (made == derive_id(cause, *other)) is (parts == other)
    assert (made.version, made.int >> 80) == (8, cause.int >> 80)


def test_no_clock(pytestconfig: pytest.Config) -> None:
    """Nothing that decides when a task or a lease is due reads this machine's clock: skewed workers are neither early nor late."""
    package = pytestconfig.rootpath / "eventstore"
    folders = [package / "process", package / "postgres"]
    files = [*folders[0].glob("*.py"), *(folders[1] / f"{name}.py" for name in ("tasks", "processes", "snapshots"))]
    clocks = {"now", "utcnow", "today", "time", "time_ns"}
    found = [
        f"{path.name}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in clocks
        and isinstance(node.value, ast.Name)
        and node.value.id != "self"
    ]
    assert found == []
