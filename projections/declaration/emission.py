"""What a projection derives: events that follow from its rows, and the source from which the next projection reads them. Pure.

A function sees a row before and after one event and gives the events that follow, or none. That is the same however the log is cut into
batches, and whoever folds it, as long as each row is touched by one partition only: so tables that are touched from several can't emit.
Derived events lie in a topic of the generation that derived them, in the partition of what they follow from. So a rebuild writes a topic
of its own, and whoever reads one counts the offsets of one generation.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from eventstore.codec import decode
from eventstore.errors import RefoldError, UsageError
from eventstore.event import EventType
from eventstore.event import registry as events
from eventstore.log.events import EventSource
from eventstore.meaning import digest
from eventstore.settings import KafkaSettings
from eventstore.source import Record
from eventstore.stream import Position
from projections.declaration.table import Table

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Emission:
    """*function* gives the events of *kinds* that follow from a change of a row of *table*; *detailed* = it takes the cause too."""

    table: Table[Any]
    kinds: Mapping[type, EventType]
    function: Callable[..., Any]
    detailed: bool

    @property
    def names(self) -> list[str]:
        """The names of the event types."""
        return sorted(each.name for each in self.kinds.values())


class DerivedSource(EventSource):
    """What projection *projection* derives, from whichever generation of it the reader is bound to."""

    def __init__(self, projection: str) -> None:
        super().__init__()
        self.projection = projection
        self.name = f"derived:{projection}"

    def add(self, kinds: Iterable[EventType]) -> None:
        """Note that events of *kinds* are derived."""
        self.messages = tuple(sorted({*self.messages, *(each.name for each in kinds)}))

    def topic(self, settings: KafkaSettings) -> str:
        """Refuse: the topic has the number of a generation in its name, see `find`."""
        raise UsageError(f"{self.name} has a topic for each generation of {self.projection} ({settings.topic_prefix}); say which")

    def find(self, topics: Iterable[str]) -> str | None:
        """Give the topic among *topics* that a generation of the projection derived; None = none is."""
        return next((each for each in topics if is_derived(each, self.projection)), None)

    def position(self, record: Record) -> Position | None:
        """Give the store's position that everything derived from it is read up to: only the last event of one cause has it."""
        try:
            document = decode(record.value or b"")
            return Position.parse(document["position"]) if document["derivedlast"] else None
        except (RefoldError, KeyError, TypeError, ValueError, AttributeError):
            return None


def describe_emission(emission: Emission) -> str:
    """Give what is derived, and by what, for fingerprints."""
    kinds = sorted(f"{each.name} {each.version}" for each in emission.kinds.values())
    return " ".join([emission.table.name, *kinds, digest(emission.function), *(digest(each) for each in emission.kinds)])


def name_derived(consumer_group: str) -> str:
    """Name the topic of what a generation derives, by the name of its consumer group."""
    return f"{consumer_group}.derived"


def is_derived(topic: str, projection: str) -> bool:
    """Say whether *topic* is one that a generation of *projection* derived."""
    return re.search(rf"\.{re.escape(projection)}\.g\d+\.derived$", topic) is not None


class Emitter:
    """What a table needs to emit; a base of `RowTable`."""

    projection: Any

    def emits(self, *kinds: type) -> Callable[[F], F]:
        """Derive events of *kinds*: `function(before, after)`, or `(before, after, cause)`, gives an event, a list of them, or None.

        It is called for every event that a handler of this table took, with its row before and after (None = there is none). What it gives
        is published once, in the order of each stream, for tables of other projections that say `on(Kind, of=this projection)`.
        """

        def declare(function: F) -> F:
            table = self
            assert isinstance(table, Table)
            parameters = len(inspect.signature(function).parameters)
            if parameters not in {2, 3} or inspect.iscoroutinefunction(function) or not kinds:
                raise UsageError(
                    f"{function.__qualname__}: what emits names its kinds and takes (before, after) or (before, after, cause)"
                )
            made = Emission(table, {each: events.of(each) for each in kinds}, function, parameters > 2)  # pyright: ignore[reportUnknownArgumentType]
            self.projection.emissions.append(made)
            self.projection.derived.add(made.kinds.values())
            return function

        return declare
