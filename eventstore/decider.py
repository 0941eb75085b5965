"""A decider: what an aggregate is, as three plain functions, and nothing of where its events are kept.

`initial` makes the state before any event, `evolve` gives the state after one more, `decide` answers a command on a state with the
events that it causes, or raises the application's own error. All three are pure: no clock, no chance, no I/O; what a decision
needs of these comes in with the command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Generic, TypeVar

from eventstore.meaning import describe_fields, digest, shorten

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")


@dataclass(frozen=True)
class Decider(Generic[C, E, S]):
    """Commands C, events E, state S.

    *state* is the type of the state where `type(initial())` does not say it all (a union, a generic container); snapshots read by it.
    Raise *version* when a library that `evolve` uses changes what it gives: snapshots follow the app's own code by themselves.
    """

    initial: Callable[[], S]
    evolve: Callable[[S, E], S]
    decide: Callable[[C, S], Iterable[E]]
    state: Any = None
    version: int = 1

    def fold(self, events: Iterable[E]) -> S:
        """Give the state after *events* from the beginning."""
        return reduce(self.evolve, events, self.initial())

    @property
    def shape(self) -> Any:
        """The type by which a stored state is read."""
        return type(self.initial()) if self.state is None else self.state

    @cached_property
    def fingerprint(self) -> str:
        """What the fold amounts to, in 12 hex digits: the code of `initial` and `evolve`, the state's fields, the version."""
        return shorten([self.version, digest(self.initial), digest(self.evolve), digest(self.shape), describe_fields(self.shape)])
