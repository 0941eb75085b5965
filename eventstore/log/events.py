"""The store's own events as a source for projections: one topic, key = stream, one JSON document a record.

This is the hot path of every rebuild: the document is read once, a type that nobody wants is passed over at once, and the
envelope is only made for a handler that asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from json import JSONDecodeError
from typing import Any

from msgspec import MsgspecError

from eventstore.codec import loads
from eventstore.envelope import Envelope
from eventstore.errors import UndecodableRecord
from eventstore.event import Events, EventType, registry
from eventstore.log.direct import make_scan
from eventstore.log.policy import guard
from eventstore.log.wire import open_envelope, read_core
from eventstore.plain import make_decoder
from eventstore.privacy.opener import Opener
from eventstore.settings import EventSettings, KafkaSettings
from eventstore.source import Message, Reader, Record, Scan, scan_each
from eventstore.stream import Position

_TUPLE: Any = tuple


class EventSource:
    """The topic that the relay writes. *passed* counts, by type, the events that a reader of this source passed over.

    *newer* counts, by type and version, those of a handled type that it passed over because a newer release wrote them.
    """

    name: str = "events"
    messages: Sequence[str] = ()

    def __init__(self, events: Events = registry, policy: EventSettings | None = None) -> None:
        self._events = events
        self._policy = policy
        self.passed: dict[str, int] = {}
        self.newer: dict[tuple[str, int], int] = {}

    def topic(self, settings: KafkaSettings) -> str:
        """Give the events topic of *settings*."""
        return settings.events_topic

    def has_personal(self, wanted: frozenset[str]) -> bool:
        """Say whether some type of *wanted* has personal fields."""
        return any(self._events.named(each).privacy for each in wanted)

    def reader(self, wanted: frozenset[str], opener: Opener | None = None, *, whole: bool = True) -> Reader:
        """Make a reader of the event types *wanted*; below 3 us for one passed over, 5 us for a small one read.

        *whole*: the message has the document, as `detail` needs it; without it (raw = None) a small event costs half as much.
        *opener* must be prepared for what is read; without one, personal fields read as SEALED. Types without any cost nothing.
        Raises UnknownEvent at once for a wanted type that no imported module declares. The reader raises UndecodableRecord for
        whatever is not one of our documents, and for data that does not fit its class; NewerEvent and UndeclaredEvent for what a
        newer release wrote, as the settings have it (`eventstore.log.policy`).
        """
        read = self._make_reader(wanted, opener)
        if not whole and not self.has_personal(wanted):
            read = self._make_core_reader(wanted, read)
        return guard(read, self._events, self._policy or EventSettings(), self.newer)

    def scan(self, wanted: frozenset[str], read: Reader, *, whole: bool = True) -> Scan:
        """Give what goes through many records of the types *wanted* as *read*, which this source made for them, would one by one."""
        if whole or self.has_personal(wanted):
            return scan_each(read)
        return make_scan([self._events.named(each) for each in sorted(wanted)], read)

    def _make_reader(self, wanted: frozenset[str], opener: Opener | None) -> Reader:
        kinds = {name: self._events.named(name) for name in wanted}
        personal = {name for name, kind in kinds.items() if kind.privacy}
        if personal:
            return self._open_reader(kinds, personal, opener or Opener(None))
        find = {name: (kind.version, kind.read) for name, kind in kinds.items()}.get
        passed = self.passed
        make = _TUPLE.__new__  # the class's own constructor costs three times as much

        def read(record: Record) -> Message | None:
            value = record.value
            if value is None:
                return None
            try:
                document = loads(value)
                name = document["type"]
                known = find(name)
                if known is None:
                    passed[name] = passed.get(name, 0) + 1
                    return None
                version, data, stream = document["schemaversion"], document["data"], document["subject"]
            except (JSONDecodeError, KeyError, TypeError, ValueError) as error:
                raise _refusal(record, error) from error
            newest, decode = known
            try:
                event = decode(data) if version == newest else kinds[name].decode(data, version)
            except (TypeError, ValueError):
                event = kinds[name].decode(data, version)  # fails again, and says why in our words
            return make(Message, (name, event, stream, document))

        return read

    def _make_core_reader(self, wanted: frozenset[str], whole: Reader) -> Reader:
        """Make the reader that reads no more than it must; whatever it can't read is left to *whole*, which knows what to say."""
        kinds = [self._events.named(each) for each in wanted]
        find = {each.name: (each.version, make_decoder(each)) for each in kinds}.get
        passed = self.passed
        make = _TUPLE.__new__

        def read(record: Record) -> Message | None:
            try:
                core = read_core(record.value)  # pyright: ignore[reportArgumentType] - a tombstone is refused, and left to whole
                known = find(core.type)
                if known is None:
                    passed[core.type] = passed.get(core.type, 0) + 1
                    return None
                version, decode = known
                if core.schemaversion == version:
                    return make(Message, (core.type, decode(core.data), core.subject, None))
            except (MsgspecError, TypeError, ValueError, RecursionError):
                pass
            return whole(record)

        return read

    def _open_reader(self, kinds: dict[str, EventType], personal: set[str], opener: Opener) -> Reader:
        """Make the reader that opens what is sealed, apart from the other, which stays as fast as it is."""
        passed, open_data = self.passed, opener.open

        def read(record: Record) -> Message | None:
            if record.value is None:
                return None
            try:
                document = loads(record.value)
                name = document["type"]
                kind = kinds.get(name)
                if kind is None:
                    passed[name] = passed.get(name, 0) + 1
                    return None
                version, data, stream, event_id = (document[each] for each in ("schemaversion", "data", "subject", "id"))
            except (JSONDecodeError, KeyError, TypeError, ValueError) as error:
                raise _refusal(record, error) from error
            if name in personal:
                data = open_data(data, event_id)
                if version == kind.version:
                    try:
                        return Message(name, kind.read(data), stream, document)
                    except (TypeError, ValueError):
                        pass  # read again below, where the refusal says nothing of what the event holds
            return Message(name, kind.decode(data, version), stream, document)

        return read

    def detail(self, body: Any, raw: dict[str, Any]) -> Envelope[Any]:
        """Give the envelope around the decoded event *body* of document *raw*. Raises UndecodableRecord."""
        return open_envelope(raw, body)

    def position(self, record: Record) -> Position | None:
        """Give the position of a record, whatever its type; None when it is not readable."""
        try:
            return Position.parse(loads(record.value or b"")["position"])
        except (JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            return None


class DocumentSource(EventSource):
    """The same source, by name and state, whose handlers get the document as it lies in the log, which costs nothing to make."""

    def __init__(self, source: EventSource) -> None:
        self.__dict__ = source.__dict__

    def detail(self, body: Any, raw: dict[str, Any]) -> Any:  # noqa: ARG002 - every source has the same signature
        """Give the document."""
        return raw


events = EventSource()
"""The source over the default registry."""


def _refusal(record: Record, error: Exception) -> UndecodableRecord:
    head = bytes(record.value or b"")[:40]
    what = f"no {error}" if isinstance(error, KeyError) else str(error)
    return UndecodableRecord(
        f"{record.topic}/{record.partition}@{record.offset} is not one of our CloudEvents ({what}); it starts with {head!r}",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
    )
