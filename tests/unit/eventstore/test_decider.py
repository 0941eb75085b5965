"""What changes a fold's fingerprint, by which snapshots are found, and what does not."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from eventstore import Decider, event
from eventstore.event import EventType, registry
from eventstore.meaning import describe_fields
from eventstore.snapshot import amount

COUNTER = itertools.count()
APP = '''
import functools
from dataclasses import dataclass, field

from eventstore import Decider, event


@event("fingerprint-{number}")
class Happened:
    cents: int


@dataclass(frozen=True)
class Line:
    cents: int


@dataclass
class State:
    lines: list[Line] = field(default_factory=list)
    total: int = 0

    def add(self, happened):
        return State([*self.lines, Line(happened.cents)], self.total + FEES["fixed"](happened.cents))


def fee(cents):
    return cents + 1


@functools.singledispatch
def apply(happened, state):
    return state


@apply.register
def _(happened: Happened, state):
    return state.add(happened)


FEES = {{"fixed": fee, "none": lambda cents: cents}}


def evolve(state, happened):
    """Add it."""
    return apply(happened, state)  # through the dispatcher


def decide(command, state):
    return [Happened(command)]


decider = Decider(State, evolve, decide)
'''


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Give the fingerprint of the app after one replacement in its source."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def build(old: str = "", new: str = "") -> str:
        number = next(COUNTER)
        source = APP.format(number=number)
        assert old in source
        name = f"fold_{number}"
        (tmp_path / f"{name}.py").write_text(source.replace(old, new) if old else source)
        made.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(name).decider.fingerprint

    yield build
    for each in made:
        sys.modules.pop(each, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ('    """Add it."""\n', ""),
        ("  # through the dispatcher", ""),
        ("return [Happened(command)]", "return []"),
        ("def decide(command, state):", "def decide(\n    command,\n    state,\n):"),
    ],
    ids=["nothing", "docstring", "comment", "decide", "layout"],
)
def test_same_fold(make: Callable[..., str], old: str, new: str) -> None:
    """What does not change states does not change the fingerprint: comments, layout, decisions."""
    assert make() == make(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("apply(happened, state)  #", "apply(happened, state) or state  #"),
        ("return state.add(happened)", "return state"),
        ("return cents + 1", "return cents + 2"),
        ("lambda cents: cents}}".replace("}}", "}"), "lambda cents: cents + 1}"),
        ("self.total + FEES", "self.total - FEES"),
        ("total: int = 0", "total: int = 1"),
        ("total: int = 0", "total: float = 0"),
        ("class Line:\n    cents: int", "class Line:\n    cents: float"),
        ("default_factory=list", "default_factory=lambda: [Line(0)]"),
        ("Decider(State, evolve, decide)", "Decider(lambda: State(total=5), evolve, decide)"),
        ("Decider(State, evolve, decide)", "Decider(State, evolve, decide, version=2)"),
    ],
    ids=[
        "evolve",
        "dispatched",
        "in-a-mapping",
        "lambda",
        "method",
        "default",
        "type",
        "nested",
        "factory",
        "initial",
        "version",
    ],
)
def test_other_fold(make: Callable[..., str], old: str, new: str) -> None:
    """What may change a state changes the fingerprint, wherever in the app's code it lies."""
    assert make() != make(old, new)


def test_event_amounts() -> None:
    """An event type amounts to something else when its version, a field, a default, a method or an upcaster changes."""

    def declare(body: str, version: int = 1) -> EventType:
        space: dict[str, Any] = {"event": event, "__name__": __name__}
        source = f"@event('amount-{next(COUNTER)}', version={version})\nclass Amount:\n" + body
        exec(compile(source, "amounts.py", "exec"), space)
        return registry.of(space["Amount"])

    plain = declare("    cents: int\n")
    assert amount(plain) == amount(declare("    cents: int\n"))
    others = [
        declare("    cents: int\n", version=2),
        declare("    cents: float\n"),
        declare("    cents: int = 0\n"),
        declare("    cents: int\n    note: str = ''\n"),
        declare("    cents: int\n    @property\n    def euros(self):\n        return self.cents / 100\n"),
    ]
    assert len({amount(plain), *map(amount, others)}) == len(others) + 1
    before = amount(plain)
    plain.upcasters[0] = lambda data: data
    assert amount(plain) != before


class Colour(Enum):
    RED = "red"


@dataclass
class Leaf:
    colour: Colour
    next: Leaf | None = None


@dataclass
class Tree:
    leaves: dict[str, list[Leaf]]


def test_fields_are_followed() -> None:
    """The fields of a class are described with those of the classes that they are made of, each once."""
    shown = describe_fields(Tree)
    assert [each.partition(" ")[0] for each in shown] == ["Tree", "Leaf", "Colour"]
    assert "RED='red'" in shown[2]


def test_fold() -> None:
    """A fold begins from a fresh state each time."""
    decider: Decider[int, int, list[int]] = Decider(
        list[int], lambda state, happened: [*state, happened], lambda command, _: [command]
    )
    assert decider.fold([1, 2]) == [1, 2]
    assert decider.fold([]) == []
    assert decider.shape is list
