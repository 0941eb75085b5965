"""Scenarios: given what happened, when somebody wants something (or something happens), then this follows.

    given(OrderPlaced("ada", 4_200)).when(PayOrder(4_200)).times(2).then(OrderPaid(4_200))

`times(n)` does it n times over, each on what the last one left behind, and `then` lists all that followed: that a second time adds
nothing proves that it may come twice. An expected item that is a class stands for any instance of it. Pure: no store, no clock.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any, Self

from eventstore.decider import Decider
from eventstore.errors import UsageError
from eventstore.process.effect import Complete
from eventstore.process.process import Process
from eventstore.testing.difference import compare, show, tell


class Scenario(ABC):
    """One scenario, in hand between `given` and `then`. What is asserted is worked out anew each time."""

    def __init__(self, given: Sequence[object]) -> None:
        self._given = given
        self._when: object = None
        self._asked = False
        self._times = 1

    def when(self, stimulus: object) -> Self:
        """Say what is wanted (a command, for a decider) or happens (an event or a timeout, for a process)."""
        self._when, self._asked = stimulus, True
        return self

    def times(self, count: int) -> Self:
        """Let it come *count* times, one after the other."""
        if count < 1:
            raise UsageError(f"times({count}): at least once")
        self._times = count
        return self

    def then(self, *expected: object) -> Self:
        """Assert that just this followed, in this order: events of a decider, effects of a process."""
        __tracebackhide__ = True
        _, found = self._run()
        compare(f"what followed {self._stimulus()}", expected, found, self._facts())
        return self

    def then_nothing(self) -> Self:
        """Assert that nothing followed, and nothing was raised."""
        __tracebackhide__ = True
        return self.then()

    def then_state(self, expected: object) -> Self:
        """Assert the state at the end."""
        __tracebackhide__ = True
        state, _ = self._run()
        compare(f"the states after {self._stimulus()}", [expected], [state], self._facts())
        return self

    def then_raises(self, kind: type[BaseException], *, match: str = "") -> BaseException:
        """Assert that *kind* is raised, with a message that *match* (a regular expression) is found in; gives what was raised."""
        __tracebackhide__ = True
        try:
            _, found = self._run()
        except kind as error:
            if re.search(match, str(error)):
                return error
            raise AssertionError(f"{kind.__name__} was raised, but {str(error)!r} does not match {match!r}") from error
        followed = "\n".join(f"    {show(each)}" for each in found) or "    nothing"
        raise AssertionError(
            f"{kind.__name__} was not raised by {self._stimulus()}; this followed:\n{followed}\n{tell(self._facts())}"
        )

    @abstractmethod
    def _run(self) -> tuple[Any, list[object]]:
        """Play the scenario; gives the state at the end and what followed."""

    @abstractmethod
    def _state(self) -> Any:
        """Give the state before `when`."""

    def _stimulus(self) -> str:
        return f"{show(self._when)}{f', {self._times} times' if self._times > 1 else ''}" if self._asked else "what was given"

    def _facts(self) -> list[str]:
        return [f"given: {', '.join(map(show, self._given)) or 'nothing'}", f"state before: {show(self._state())}"]


class Decision(Scenario):
    """A scenario of a decider: given events, when a command, then events."""

    def __init__(self, decider: Decider[Any, Any, Any], given: Sequence[object]) -> None:
        super().__init__(given)
        self._decider = decider

    def _state(self) -> Any:
        return self._decider.fold(self._given)

    def _run(self) -> tuple[Any, list[object]]:
        state, found = self._state(), list[object]()
        for _ in range(self._times if self._asked else 0):
            events = list(self._decider.decide(self._when, state))
            found += events
            for each in events:
                state = self._decider.evolve(state, each)
        return state, found


class Reaction(Scenario):
    """A scenario of a process instance: given events and timeouts, when one more, then effects."""

    def __init__(self, process: Process[Any, Any], given: Sequence[object], instance: str) -> None:
        super().__init__(given)
        self._process = process
        self._instance = instance

    def _state(self) -> Any:
        return self._play(self._given)[0]

    def _run(self) -> tuple[Any, list[object]]:
        state, given = self._play(self._given)
        repeated = [self._when] * self._times if self._asked else []
        state, found = self._play([*self._given, *repeated])
        return state, found[len(given) :]

    def _play(self, stimuli: Sequence[object]) -> tuple[Any, list[object]]:
        state, found = self._process.initial(self._instance), list[object]()
        for each in stimuli:
            if any(isinstance(effect, Complete) for effect in found):
                break
            found += self._process.react(state, each)
            state = self._process.evolve(state, each)
        return state, found


@singledispatch
def given_for(subject: Any) -> Callable[..., Any]:
    """Give the `given` of *subject*: a Decider, a Process (`given(*events, instance="order-1")`), a Projection, or Projections.

    A package with subjects of its own registers them in its module `testing`, which is imported here. Raises UsageError.
    """
    top = type(subject).__module__.partition(".")[0]
    if top != "eventstore":
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(f"{top}.testing")
    chosen = given_for.dispatch(type(subject))
    if chosen is given_for.dispatch(object):
        raise UsageError(f"there are no scenarios for {type(subject).__name__}: give a Decider, a Process or a Projection")
    return chosen(subject)


@given_for.register
def _(subject: Decider) -> Callable[..., Decision]:  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType]
    return lambda *events: Decision(subject, events)  # pyright: ignore[reportUnknownArgumentType]


@given_for.register
def _(subject: Process) -> Callable[..., Reaction]:  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType]
    def given(*events: object, instance: str = "instance-1") -> Reaction:
        return Reaction(subject, events, instance)  # pyright: ignore[reportUnknownArgumentType]

    return given
