"""Events as the database wants them, and back."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from msgspec import MsgspecError

from eventstore.codec import decode, encode
from eventstore.envelope import Envelope, NewEvent, RawEvent, recorded
from eventstore.errors import LimitExceeded, UsageError
from eventstore.event import Events, EventType, Tagger, writer_of
from eventstore.plain import find_decoder
from eventstore.postgres.array import NULL, write_integer, write_jsonb, write_moment, write_text, write_uuid
from eventstore.privacy.opener import Opener
from eventstore.query import check_tags
from eventstore.sealer import SealedEvent
from eventstore.settings import PostgresSettings
from eventstore.stream import MAX_NAME
from eventstore.tenant import qualify, split

Row = tuple[str, int, int, int, Any, str, int, str, str, Any, Any, list[str] | None]
Elements = tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes]
"""An event's elements of the arrays of `append_v3`: id, type, schema version, data, metadata, when it happened, tags."""
_NO_METADATA = b"{}"
_NUL = b"\\u0000"
_DATA: Final = operator.attrgetter("data")


def check_stream(stream: str) -> str:
    """Give *stream* if it can name one. Raises UsageError for an empty or overlong name and one with a NUL character."""
    if not stream or len(stream) > MAX_NAME or "\0" in stream:
        raise UsageError(f"stream name {stream[:80]!r} of {len(stream)} characters: use 1 to {MAX_NAME}, without NUL")
    return stream


class Form(NamedTuple):
    """How the events of a class, or one that is known by its name only, are written; *head* are its elements of type and version."""

    name: str
    version: int
    head: tuple[bytes, bytes]
    write: Callable[[Any], object] | None
    tags: Tagger | None = None

    @classmethod
    def of(cls, name: str, version: int, write: Callable[[Any], object] | None, tags: Tagger | None = None) -> Form:
        """Make it with its head."""
        return cls(name, version, (write_text(name), write_integer(version)), write, tags)


class Writer:
    """Turns events into parameters, within the limits of *settings*, under the names of *registry*."""

    def __init__(self, registry: Events, settings: PostgresSettings) -> None:
        self._registry = registry
        self._forms: dict[type, Form] = {}
        self._limit = settings.max_event_bytes
        self._most = settings.max_append_events
        self._most_tags = settings.max_event_tags

    def wrap(self, events: Iterable[object]) -> list[NewEvent]:
        """Give every event its id. Raises UsageError for none, LimitExceeded for too many."""
        wrapped = [NewEvent.wrap(each) for each in events]
        if not wrapped:
            raise UsageError("an append needs at least one event")
        if len(wrapped) > self._most:
            raise LimitExceeded(
                f"an append of {len(wrapped)} events is larger than max_append_events={self._most}: append in parts, use "
                "import_events, or raise REFOLD_POSTGRES_MAX_APPEND_EVENTS",
                events=len(wrapped),
                limit=self._most,
            )
        return wrapped

    def elements(self, stream: str, new: NewEvent) -> Elements:
        """Give everything of an event of *stream* as `append_v3` wants it. Raises LimitExceeded, UsageError."""
        form, data, metadata = self.parts(new)
        tagged = new.tags or form.tags
        return (
            write_uuid(new.id),
            *form.head,
            write_jsonb(data),
            NULL if metadata is _NO_METADATA else write_jsonb(metadata),
            NULL if new.occurred_at is None else write_moment(_aware(new)),
            write_text(literal(tags)) if tagged and (tags := self.tags(stream, new)) else NULL,
        )

    def tags(self, stream: str, new: NewEvent) -> list[str]:
        """Give the tags of *new* and of its class, sorted; under the tenant of *stream*, if it has one, as its name is.

        Raises UsageError for a malformed one, LimitExceeded for too many.
        """
        kind = None if isinstance(new.event, RawEvent) else self._registry.of(type(new.event)).tags
        if kind is None and not new.tags:
            return []
        if isinstance(new.tags, str):
            raise UsageError(f"tags={new.tags!r} of event {new.id}: give a tuple or a set, even of one")
        found = {*new.tags, *(kind(new.event) if kind else ())}
        check_tags(found)
        if tenant := split(stream)[0]:
            found = {qualify(tenant, each) for each in found}
        if len(found) > self._most_tags:
            raise LimitExceeded(
                f"event {new.id} has {len(found)} tags, more than max_event_tags={self._most_tags}: tag what rules ask for and no "
                "more, or raise REFOLD_POSTGRES_MAX_EVENT_TAGS",
                tags=len(found),
                limit=self._most_tags,
            )
        return sorted(found)

    def parts(self, new: NewEvent) -> tuple[Form, bytes, bytes]:
        """Give its form, data and metadata. Raises LimitExceeded when they are larger than one event may be."""
        event = new.event
        form = self._forms.get(type(event)) or self._form_of(new)
        data = encode(event if form.write is None else form.write(event))
        metadata = encode(dict(new.metadata)) if new.metadata else _NO_METADATA
        size = len(data) + len(metadata)
        if size > self._limit:
            raise LimitExceeded(
                f"event {new.id} of type {form.name!r} has {size} bytes, more than max_event_bytes={self._limit}: store the bulk "
                "elsewhere and record a reference, or raise REFOLD_POSTGRES_MAX_EVENT_BYTES and the topic's max.message.bytes",
                bytes=size,
                limit=self._limit,
            )
        if _NUL in data or _NUL in metadata:
            _refuse_nul(new, data, metadata)
        return form, data, metadata

    def _form_of(self, new: NewEvent) -> Form:
        """Give the form of *new*; the one of its class is made once, if it has one."""
        event = new.event
        if isinstance(event, RawEvent):
            known = None if type(event) is SealedEvent else self._registry.find(event.type)
            _require_sealed(new, known)
            return Form.of(event.type, event.version, _DATA)
        kind = self._registry.of(type(event))
        _require_sealed(new, kind)
        self._forms[type(event)] = form = Form.of(kind.name, kind.version, writer_of(type(event)), kind.tags)
        return form


def _require_sealed(new: NewEvent, kind: EventType | None) -> None:
    if kind is not None and kind.privacy:
        raise AssertionError(
            f"event {new.id} of type {kind.name!r} holds personal data and came here unsealed: pass it through a Sealer"
        )


def moment(new: NewEvent) -> str:
    """Give when *new* happened as ISO 8601. Raises UsageError for a naive time."""
    return _aware(new).isoformat()


def literal(tags: list[str]) -> str:
    """Write *tags* as PostgreSQL writes an array of texts."""
    quoted = [each.replace("\\", "\\\\").replace('"', '\\"') for each in tags]
    return "{" + ",".join(f'"{each}"' for each in quoted) + "}"


def _aware(new: NewEvent) -> datetime:
    assert new.occurred_at is not None
    if new.occurred_at.tzinfo is None:
        raise UsageError(f"occurred_at {new.occurred_at.isoformat()} of event {new.id} has no time zone: use datetime.now(UTC)")
    return new.occurred_at


def envelope(row: Row, registry: Events | None, opener: Opener | None = None) -> Envelope[Any]:
    """Make the envelope of one row, its data lifted to the newest version; without *registry* data stays as it was stored.

    *opener*, prepared for the row, opens what is sealed.

    Raises UnknownEvent, UndecodableRecord.
    """
    data = _read(registry.named(row[5]), row, opener) if registry else decode(row[7])
    return recorded(row, data, {} if row[8] == "{}" else decode(row[8]))


def _read(kind: EventType, row: Row, opener: Opener | None) -> Any:
    """Make the event of *row*: most straight from its JSON, and by way of a dict what that does not take, or refuses."""
    event_id, version, data = row[4], row[6], row[7]
    if version == kind.version and (read := find_decoder(kind)):
        try:
            return read(data)
        except (MsgspecError, TypeError, ValueError, RecursionError):
            pass  # read again below, which knows more ways to read it, or what to say
    found = decode(data)
    return kind.decode(opener.open(found, event_id) if opener and kind.privacy else found, version)


def _refuse_nul(new: NewEvent, *documents: bytes) -> None:
    """Refuse a NUL character, which jsonb cannot hold; an escaped backslash before `u0000` is no NUL."""
    if any("\0" in text for document in documents for text in _texts(decode(document))):
        raise UsageError(f"event {new.id} has a NUL character (\\u0000) in a text, which PostgreSQL cannot store: remove it")


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for each in pair for text in _texts(each))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts(each))  # pyright: ignore[reportUnknownVariableType]
