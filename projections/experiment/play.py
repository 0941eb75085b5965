"""A scenario: what was told, folded at once and in its order, through one projection or through all that feed each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from eventstore.envelope import Envelope
from eventstore.event import registry
from eventstore.log.wire import parse
from projections.control.outbox import Derived
from projections.declaration.projection import Projection
from projections.experiment.hand import Hand, open_desk
from projections.experiment.store import Rows, Store
from projections.experiment.telling import Partition, Raw, Telling, name_topic
from projections.fold.step import HandlerFailed


class Followed(NamedTuple):
    """What *projection* derived from the *at*th thing that was told (from 0)."""

    at: int
    projection: str
    envelope: Envelope[Any]


class Caused(NamedTuple):
    """Which effect of *projection* the *at*th thing that was told has, and the event that it is called with."""

    at: int
    projection: str
    effect: str
    event: object


@dataclass(slots=True)
class Outcome:
    """What there is in the end: *rows* by projection, and what *followed* and was *caused*, in order."""

    rows: dict[str, Rows] = field(default_factory=dict[str, Rows])
    followed: list[Followed] = field(default_factory=list[Followed])
    caused: list[Caused] = field(default_factory=list[Caused])


class Again(NamedTuple):
    """In the place of something told: what came before comes again."""


AGAIN = Again()


def play(projections: Sequence[Projection], story: Sequence[object], known: Sequence[Projection]) -> Outcome:
    """Fold *story* through *projections*, which come in the order in which they feed each other.

    What only others of *known* read is passed over. Raises what a handler raises, ValueError for a row that PostgreSQL would refuse,
    UsageError for what nobody reads, and Unreachable if there are SQL handlers and no server.
    """
    telling, outcome = Telling(known), Outcome()
    told = [telling.repeat() if given is AGAIN else telling.tell(given) for given in story]
    with ExitStack() as stack:
        parts = [_Part(each, telling.log, stack) for each in projections]
        for at, records in enumerate(told):
            pending = list(records)
            for part in parts:
                pending += telling.add(part.projection.derived.name, part.take(at, pending, outcome))
        for part in parts:
            outcome.rows[part.projection.name] = part.rows()
    return outcome


class _Part:
    """One projection at work on its part of the story, record by record."""

    def __init__(self, projection: Projection, log: Mapping[Partition, Sequence[Raw]], stack: ExitStack) -> None:
        self.projection = projection
        self._topics = {name_topic(each.name) for each in projection.sources}
        self._store = Store.of(projection, log)
        self._desk = stack.enter_context(open_desk(projection))
        self._hand = Hand(projection, self._store, log, self._desk, effects=True)

    def take(self, at: int, records: Sequence[Raw], outcome: Outcome) -> list[Derived]:
        """Fold those of *records* that are read, and give what followed."""
        derived: list[Derived] = []
        for each in records:
            if each.topic in self._topics:
                derived += self._fold(each)
        name = self.projection.name
        outcome.followed += [Followed(at, name, parse(each.value, registry)) for each in derived]
        outcome.caused += [
            Caused(at, name, each.effect, parse(each.record.value or b"", registry).data) for each in self._hand.due
        ]
        self._hand.due.clear()
        return derived

    def _fold(self, record: Raw) -> list[Derived]:
        try:
            self._hand.absorb([record])
            return self._hand.end()
        except HandlerFailed as error:
            raise (error.__cause__ or error.__context__ or error) from None

    def rows(self) -> Rows:
        """Give the rows by table and key."""
        return self._store.rows(each.name for each in self.projection.tables) | (self._desk.rows() if self._desk else {})
