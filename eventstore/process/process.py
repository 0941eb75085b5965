"""A process: two plain functions that say what follows from an event, for each instance of a business process.

`react` gives what is wanted because of an event (or a timeout) on the state *before* it, `evolve` the state after it. Both are pure,
as those of a decider. The state is kept in JSON between events.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from eventstore.errors import UsageError
from eventstore.event import registry
from eventstore.process.effect import Effect

E = TypeVar("E")
S = TypeVar("S")
_NAME = re.compile(r"^[a-z][a-z0-9-]*$")


@dataclass(frozen=True)
class Process(Generic[E, S]):
    """The process *name*, which reads events of the classes *events*.

    *initial* makes the state of a new instance from the instance's name. *key* gives that name from an event and the stream that it
    lies in, None = the event concerns no instance; without *key* an instance is a stream. *start*: where a process that
    never ran begins: at the first event of the store, or after the newest (so that history sets nothing off). *state* is the type of
    the state where `type(initial(name))` does not say it all. New fields of a state need defaults: stored states are read by it.
    """

    name: str
    initial: Callable[[str], S]
    evolve: Callable[[S, E], S]
    react: Callable[[S, E], Iterable[Effect]]
    events: Sequence[type]
    key: Callable[[E, str], str | None] | None = None
    start: Literal["beginning", "now"] = "beginning"
    state: Any = None

    def __post_init__(self) -> None:
        """Refuse a malformed name and classes that are no events."""
        if not _NAME.match(self.name):
            raise UsageError(f"process name {self.name!r}: use kebab-case words")
        if not self.events:
            raise UsageError(f"process {self.name!r} reads no events: give the classes that it reacts to")
        for each in self.events:
            registry.of(each)

    @property
    def shape(self) -> Any:
        """The type by which a stored state is read."""
        return type(self.initial("")) if self.state is None else self.state

    @property
    def wanted(self) -> frozenset[str]:
        """The stored names of the events that it reads."""
        return frozenset(registry.of(each).name for each in self.events)
