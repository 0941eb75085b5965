"""The log that a test tells: what was given, one by one, as the records that a relay, a connector or another projection would write.

Given may be an event, alone or as `(stream, event)`; `(projection, event)` or `(projection, stream, event)` for one that this projection
derived; a `Deed`, such as a change of a captured table; `(source, key, value)` for a record of any source, in bytes; and a datetime,
which says when what comes next happens. An event that is read from another projection alone needs no naming of it.

Ids, positions and times follow from the place among what was told. So equal tellings are equal logs, over however many partitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

from eventstore.codec import encode
from eventstore.envelope import NewEvent, RawEvent
from eventstore.errors import UsageError
from eventstore.event import fields_of, registry
from eventstore.log.partitioner import murmur2
from eventstore.log.wire import compose
from eventstore.source import Deed, OrderedSource, Source
from projections.control.outbox import Derived
from projections.declaration.emission import DerivedSource
from projections.declaration.projection import EVENTS, Projection

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=1)
STREAM = "stream-1"
Partition = tuple[str, int]


class Raw(NamedTuple):
    """One record. *value* is a Message where a test has no bytes."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: Any
    headers: tuple[tuple[str, bytes], ...] = ()


Lines = list[tuple[str, int, bytes | None, Any]]
"""Topic, partition, key and value of records to come."""


def name_topic(source: str) -> str:
    """Name the topic of a source."""
    return f"told.{source}"


class Telling:
    """The log of all sources of *projections*, which is written as it is told; topics have *partitions*, captured ones their own."""

    def __init__(self, projections: Sequence[Projection], partitions: int = 1) -> None:
        self._names = {each.name for each in projections}
        self._sources: dict[str, Source] = {source.name: source for each in projections for source in each.sources}
        self._wanted = {name: _find_wanted(projections, source) for name, source in self._sources.items()}
        self._partitions = partitions
        self._versions: dict[str, int] = {}
        self._ids: set[UUID] = set()
        self._kept: dict[str, dict[str, Any]] = {}
        self._last: tuple[object, Lines] = (None, [])
        self._clock = START
        self.number = 0
        self.counts = {name_topic(name): partitions for name in self._sources}
        """How many partitions each topic has."""
        self.log = {(topic, each): list[Raw]() for topic in self.counts for each in range(partitions)}

    def tell(self, given: object) -> list[Raw]:
        """Write down what was *given*, and give the new records. Raises UsageError for what nobody reads."""
        if isinstance(given, datetime):
            if given.tzinfo is None:
                raise UsageError(f"{given!r}: say when in a time zone, as in datetime(2026, 1, 31, tzinfo=UTC)")
            self._clock = given
            return []
        self.number += 1
        lines = self._compose(given)
        self._last = (given, lines)
        self._clock += STEP
        return self._write(lines)

    @property
    def comes_again(self) -> bool:
        """Whether the last thing is one that a connector may send again, because its source tells repetitions apart."""
        given, _ = self._last
        return isinstance(_find_head(given), OrderedSource)

    def repeat(self) -> list[Raw]:
        """Let the last thing come again: an event is recorded once more, anything else is the same record once more."""
        given, lines = self._last
        return self.tell(given) if _find_head(given) is None else self._write(lines)

    def add(self, source: str, derived: Sequence[Derived]) -> list[Raw]:
        """Write down what a projection derived, where it belongs, if anybody reads it."""
        topic = name_topic(source)
        return self._write([(topic, each.partition, each.key, each.value) for each in derived if topic in self.counts])

    def _compose(self, given: object) -> Lines:
        if isinstance(given, Deed):
            return self._compose_deed(given)
        if not isinstance(given, tuple):
            return self._compose_event(STREAM, given)
        head, *rest = cast("tuple[Any, ...]", given)
        if isinstance(head, str) and len(rest) == 1:
            return self._compose_event(head, rest[0])
        if isinstance(head, Projection) and len(rest) in {1, 2}:
            stream = rest[0] if len(rest) > 1 else STREAM
            return self._compose_derived(self._find(head.derived), stream, rest[-1])
        if hasattr(head, "reader") and len(rest) == 2 and all(isinstance(each, bytes | None) for each in rest):
            return [self._place(self._find(cast("Source", head)), *rest)]
        raise UsageError(
            f"{given!r} can't be given: give an event, (stream, event), (projection, stream, event) for a derived one, what happens to a "
            "captured row (cdc.testing.CapturedRows), (source, key, value) in bytes, or a datetime"
        )

    def _compose_event(self, stream: str, given: object) -> Lines:
        name = _find_name(given)
        readers = [name_ for name_, wanted in self._wanted.items() if name in wanted]
        derived = [each for each in map(self._sources.__getitem__, readers) if isinstance(each, DerivedSource)]
        if EVENTS.name in readers or not derived:
            self._find(EVENTS, name)
            version = self._versions[stream] = self._versions.get(stream, 0) + 1
            return [self._place(EVENTS, stream.encode(), self._document(stream, version, given))]
        if len(derived) > 1:
            told = ", ".join(each.projection for each in derived)
            raise UsageError(f"{name} is derived by {told}: say by whom, as (projection, stream, event)")
        return self._compose_derived(self._find(derived[0]), stream, given)

    def _compose_derived(self, source: Source, stream: str, given: object) -> Lines:
        assert isinstance(source, DerivedSource)
        if source.projection in self._names:
            raise UsageError(
                f"{_find_name(given)} follows from what {source.projection} folds, and that is part of this scenario: give what it "
                "follows from"
            )
        if (name := _find_name(given)) not in source.messages:
            raise UsageError(f"{source.projection} derives {', '.join(source.messages) or 'nothing'}, and not {name}")
        topic, partition, key, _ = self._place(source, stream.encode(), None)
        number = self._versions[f"{topic}/{partition}"] = self._versions.get(f"{topic}/{partition}", 0) + 1
        return [(topic, partition, key, self._document(stream, number, given))]

    def _compose_deed(self, deed: Deed) -> Lines:
        source = self._find(deed.source)
        if source != deed.source:
            raise UsageError(f"{deed!r} is of {deed.source!r}, and what is read is {source!r}: give both the same")
        topic = name_topic(source.name)
        self._open(topic, deed.partitions)
        kept = self._kept.setdefault(source.name, {})
        return [self._place(source, *each) for each in deed.happen(kept, self.number, self._clock)]

    def _document(self, stream: str, version: int, given: object) -> bytes:
        new = given if isinstance(given, NewEvent) else NewEvent(given, UUID(int=self.number))
        id_ = UUID(int=self.number) if new.id in self._ids else new.id
        self._ids.add(id_)
        event, now = new.event, encode(self._clock).decode()
        if isinstance(event, RawEvent):
            name, version_, data, tags = event.type, event.version, event.data, {*new.tags}
        else:
            kind = registry.of(type(event))
            name, version_, data = kind.name, kind.version, fields_of(event)
            tags = {*new.tags, *(kind.tags(event) if kind.tags else ())}
        row = (
            *(stream, version, self.number, self.number, str(id_), name, version_),
            encode(data).decode(),
            encode(dict(new.metadata)).decode(),
            encode(new.occurred_at or self._clock).decode(),
            now,
            encode(sorted(tags)).decode() if tags else None,
        )
        return compose(row, "told")

    def _find(self, source: Source, event: str = "") -> Source:
        """Give the source as it is read. Raises UsageError when nobody reads it."""
        found = self._sources.get(source.name)
        if found is None:
            what = f"{event} of {source.name}" if event else source.name
            reads = "; ".join(f"{name} ({', '.join(sorted(self._wanted[name]))})" for name in sorted(self._sources))
            raise UsageError(f"{', '.join(sorted(self._names))} reads nothing like {what}: it reads {reads or 'nothing'}")
        return found

    def _place(self, source: Source, key: bytes | None, value: Any) -> tuple[str, int, bytes | None, Any]:
        topic = name_topic(source.name)
        hashed = self.number if key is None else murmur2(key) & 0x7FFFFFFF
        return topic, hashed % self.counts[topic], key, value

    def _open(self, topic: str, partitions: int) -> None:
        """Let *topic* have *partitions*, which it keeps."""
        before = [self.log.pop((topic, each)) for each in range(self.counts[topic])]
        if len(before) != partitions and any(before):
            raise UsageError(f"{topic} has {len(before)} partitions and not {partitions}: say the same each time")
        self.counts[topic] = partitions
        self.log |= {(topic, each): before[each] if any(before) else [] for each in range(partitions)}

    def _write(self, lines: Lines) -> list[Raw]:
        made: list[Raw] = []
        for topic, partition, key, value in lines:
            log = self.log[topic, partition]
            log.append(Raw(topic, partition, len(log), self.number, key, value))
            made.append(log[-1])
        return made


def _find_wanted(projections: Sequence[Projection], source: Source) -> frozenset[str]:
    effects = [each.kinds for projection in projections for each in projection.effects if each.source.name == source.name]
    return frozenset[str]().union(*(each.wanted(source) for each in projections), *effects)


def _find_head(given: object) -> Source | None:
    """Give the source that *given* names; None = it is an event."""
    if isinstance(given, Deed):
        return given.source
    head: Any = cast("tuple[Any, ...]", given)[0] if isinstance(given, tuple) else None
    return head if hasattr(head, "reader") else None


def _find_name(given: object) -> str:
    event = given.event if isinstance(given, NewEvent) else given
    return event.type if isinstance(event, RawEvent) else registry.of(type(event)).name
