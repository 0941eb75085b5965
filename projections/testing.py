"""Scenarios of projections: given what happened, then these rows, these derived events, these effects. No Kafka, and no database.

    given(("order-1", OrderPlaced("ada", 4_200))).then_rows(totals, Revenue("ada", 4_200))

The fold is the real one, record by record, each committed before the next comes; `experiment.telling` says what can be given. Only SQL
handlers need a server, on which they run on temporary tables. `eventstore.testing.given_for`, and with it the fixture `given`, takes a
Projection by way of this module, or a Projections, whose members feed each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, TypeVar

from eventstore.errors import UsageError
from eventstore.testing.difference import compare, fits, show, tell
from eventstore.testing.scenario import given_for
from projections.declaration.chain import find_upstream
from projections.declaration.projection import Projection
from projections.declaration.registry import Projections, list_projections
from projections.declaration.table import Table
from projections.experiment.play import AGAIN, Outcome, play

T = TypeVar("T")


class Fold:
    """A scenario of *subject*, between `given` and what is asserted."""

    def __init__(self, subject: Projection | Projections, events: Sequence[object]) -> None:
        self._projections = list_projections(subject)
        self._story = list(events)
        self._since = 0
        self._played: dict[tuple[str, ...], Outcome] = {}

    def when(self, event: object) -> Self:
        """Let one more thing come; derived events and effects are asserted of what came so, and not of what was given."""
        self._since = self._since or len(self._story)
        return self._go_on([event])

    def times(self, count: int) -> Self:
        """Let the last thing come *count* times in all: an event as if it had been recorded again, a change as if it was sent again."""
        if count < 1 or not self._story:
            raise UsageError(f"times({count}): at least once, and of something that was given")
        return self._go_on([AGAIN] * (count - 1))

    def then_rows(self, table: Table[Any], *expected: object) -> Self:
        """Assert the rows of *table*, in whatever order."""
        __tracebackhide__ = True
        owner = self._find_owner(table)
        found = sorted(self._play(owner).rows[owner.name][table.name].values(), key=show)
        compare(f"the rows of {table.name!r}", sorted(expected, key=show), found, self._facts())
        return self

    def then_derives(self, *expected: object, of: Projection | None = None) -> Self:
        """Assert the events that followed, in this order: each alone or as (stream, event); a class stands for any instance of it.

        *of* says who derives them, where several do.
        """
        __tracebackhide__ = True
        who = self._find_deriving(of)
        followed = [each.envelope for each in self._play(who).followed if each.projection == who.name and each.at >= self._since]
        found = [_match(wanted, each.data, each.stream, each.data) for wanted, each in _pair(expected, followed)]
        compare(f"what {who.name} derives", expected, found, self._facts())
        return self

    def then_effects(self, *expected: object, of: Projection | None = None) -> Self:
        """Assert the effects that would be carried out, in this order, each by its name or as (name, event); none is called here.

        *begin* counts for nothing: all that is given comes after an effect began. *of* says whose, where several have any.
        """
        __tracebackhide__ = True
        who = _choose([each for each in self._projections if each.effects], of, "has effects")
        caused = [each for each in self._play(who).caused if each.projection == who.name and each.at >= self._since]
        found = [_match(wanted, each.effect, each.effect, each.event) for wanted, each in _pair(expected, caused)]
        compare(f"the effects of {who.name}", expected, found, self._facts())
        return self

    def then_nothing(self) -> Self:
        """Assert that no table has a row, and that nothing is derived and nothing to be done outside."""
        __tracebackhide__ = True
        for each in self._projections:
            for table in each.tables:
                self.then_rows(table)
            if each.emissions:
                self.then_derives(of=each)
            if each.effects:
                self.then_effects(of=each)
        return self

    def then_raises(self, kind: type[BaseException], *, match: str = "") -> BaseException:
        """Assert that a handler raises *kind*, with a message that *match* (a regular expression) is found in; gives what was raised.

        A worker parks such a record, and the later ones of its key.
        """
        __tracebackhide__ = True
        try:
            self._play(*self._projections)
        except kind as error:
            if re.search(match, str(error)):
                return error
            raise AssertionError(f"{kind.__name__} was raised, but {str(error)!r} does not match {match!r}") from error
        raise AssertionError(f"{kind.__name__} was not raised\n{tell(self._facts())}")

    def _go_on(self, more: Sequence[object]) -> Self:
        self._story += more
        self._played.clear()
        return self

    def _play(self, *wanted: Projection) -> Outcome:
        """Play the story through *wanted* and whatever feeds them."""
        names = {each.name for each in wanted}
        for each in reversed(self._projections):
            names |= find_upstream(each).keys() if each.name in names else set()
        chosen = [each for each in self._projections if each.name in names]
        key = tuple(each.name for each in chosen)
        if key not in self._played:
            self._played[key] = play(chosen, self._story, self._projections)
        return self._played[key]

    def _find_owner(self, table: Table[Any]) -> Projection:
        for each in self._projections:
            if any(table is mine for mine in each.tables):
                return each
        raise UsageError(f"{table.name!r} is no table of {', '.join(each.name for each in self._projections)}")

    def _find_deriving(self, of: Projection | None) -> Projection:
        return _choose([each for each in self._projections if each.emissions], of, "emits anything")

    def _facts(self) -> list[str]:
        given = ["again" if each is AGAIN else show(each) for each in self._story]
        return [f"given: {', '.join(given) or 'nothing'}"]


def _choose(candidates: Sequence[Projection], of: Projection | None, what: str) -> Projection:
    names = ", ".join(each.name for each in candidates)
    if of is not None and not any(of is each for each in candidates):
        raise UsageError(f"{of.name} is none that {what} here; {names or 'none'} does")
    if of is None and len(candidates) != 1:
        raise UsageError(f"of={'several'}: {names} each {what}; say which by of=" if names else f"none of these {what}")
    return of or candidates[0]


def _pair(expected: Sequence[object], found: Sequence[T]) -> Iterable[tuple[object, T]]:
    """Give each thing that was found with what was expected in its place; None = nothing was."""
    return zip([*expected[: len(found)], *[None] * (len(found) - len(expected))], found, strict=True)


def _match(expected: object, alone: object, name: str, event: object) -> object:
    """Give what came in the form of what is *expected*: *alone*, or as a pair of *name* and *event*."""
    if not isinstance(expected, tuple):
        return alone
    pair: tuple[Any, ...] = expected  # pyright: ignore[reportUnknownVariableType]
    return pair if pair[:1] == (name,) and len(pair) == 2 and fits(pair[1], event) else (name, event)


@given_for.register
def _(subject: Projection) -> Callable[..., Fold]:
    return lambda *events: Fold(subject, events)


@given_for.register
def _(subject: Projections) -> Callable[..., Fold]:
    return lambda *events: Fold(subject, events)
