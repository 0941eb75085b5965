"""Sealing what is to be recorded: personal fields become ciphertext before an event leaves the process."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from eventstore.codec import decode, encode
from eventstore.envelope import NewEvent, RawEvent
from eventstore.errors import PreconditionFailed, RefoldError
from eventstore.event import Events, EventType, fields_of, registry
from eventstore.privacy.keyring import Keyring
from eventstore.privacy.seal import read_header, seal_paths, seal_value
from eventstore.tenant import qualify, split

KEY_NAME: Final = "subjectkey"
"""Under this name an event's metadata holds the id of the key that its personal data is sealed with."""
_BATCH: Final = 1_000
Pairs = Iterable[tuple[str, object]] | AsyncIterable[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class SealedEvent(RawEvent):
    """An event whose personal fields are sealed."""


class Sealer:
    """Seals events of *registry* with keys of *keyring*; without one, events with personal data are refused."""

    def __init__(self, registry: Events, keyring: Keyring | None) -> None:
        self._registry = registry
        self._keyring = keyring

    async def seal(self, stream: str, events: list[NewEvent]) -> list[NewEvent]:
        """Give *events* of *stream* with their personal fields sealed; the same sequence when there are none.

        Raises PreconditionFailed without master keys, ForgottenSubject for a person who was forgotten.
        """
        if not any(map(self._concerns, {type(each.event) for each in events})):
            return events
        return await self._seal_all([(stream, each) for each in events])

    async def seal_pairs(self, pairs: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
        """Do the same for events of many streams."""
        wrapped = [(stream, NewEvent.wrap(event)) for stream, event in pairs]
        sealed = await self._seal_all(wrapped)
        return [(stream, event) for (stream, _), event in zip(wrapped, sealed, strict=True)]

    async def seal_many(self, pairs: Pairs) -> AsyncIterator[tuple[str, object]]:
        """Do the same for any number of events, some at a time."""
        async for part in _cut(pairs):
            for each in await self.seal_pairs(part):
                yield each

    def _concerns(self, python: type) -> bool:
        """Say whether an event of this class may have something to seal."""
        return python is RawEvent or (python is not SealedEvent and self._registry.of(python).privacy is not None)

    def _kind(self, new: NewEvent) -> EventType | None:
        """Give the type of an event that has something to seal."""
        event = new.event
        kind = self._registry.find(event.type) if isinstance(event, RawEvent) else self._registry.of(type(event))
        return kind if kind is not None and kind.privacy is not None and type(event) is not SealedEvent else None

    async def _seal_all(self, pairs: Sequence[tuple[str, NewEvent]]) -> list[NewEvent]:
        sealed = [each for _, each in pairs]
        work: list[tuple[int, EventType, str, Any]] = []
        for index, (stream, new) in enumerate(pairs):
            if (kind := self._kind(new)) is not None:
                work.append((index, kind, *_read(kind, stream, new)))
        plain = [each for each in work if not isinstance(sealed[each[0]].event, RawEvent) or _is_plain(each[1], each[3])]
        if plain:
            await self._require(plain[0][1]).claim(subject for _, _, subject, _ in plain)
        for index, kind, subject, data in work:
            sealed[index] = self._seal(kind, sealed[index], subject, data)
        return sealed

    def _seal(self, kind: EventType, new: NewEvent, subject: str, data: Any) -> NewEvent:
        declared, used = kind.privacy, list[str]()
        assert declared is not None

        def seal(value: Any, path: str) -> dict[str, Any]:
            header, cipher = self._require(kind).sealing(subject)
            used.append(header)
            return seal_value(value, cipher, header, new.id, path)

        data = seal_paths(data, declared.paths, seal)
        metadata = {**new.metadata, KEY_NAME: str(read_header(used[0]))} if used else new.metadata
        version = new.event.version if isinstance(new.event, RawEvent) else kind.version
        tags = _tags(kind, new)
        return replace(new, event=SealedEvent(kind.name, data, version), metadata=metadata, tags=tags)

    def _require(self, kind: EventType) -> Keyring:
        if self._keyring is None:
            raise PreconditionFailed(
                f"event type {kind.name!r} has personal fields, and this process has no master key to seal them with: set "
                "REFOLD_PRIVACY_MASTER_KEYS (make one with `eventstore keys --new NAME`)"
            )
        return self._keyring


async def _cut(pairs: Pairs) -> AsyncIterator[list[tuple[str, object]]]:
    if not isinstance(pairs, AsyncIterable):
        left = iter(pairs)
        while part := list(islice(left, _BATCH)):
            yield part
        return
    part: list[tuple[str, object]] = []
    async for pair in pairs:
        part.append(pair)
        if len(part) == _BATCH:
            yield part
            part = []
    yield part


def _read(kind: EventType, stream: str, new: NewEvent) -> tuple[str, Any]:
    """Give the subject of an event, in its tenant, and its data as plain JSON values."""
    event = new.event
    data = decode(encode(event.data if isinstance(event, RawEvent) else fields_of(event)))
    instance = kind.decode(decode(encode(data)), event.version) if isinstance(event, RawEvent) else event
    assert kind.privacy is not None
    subject, tenant = kind.privacy.subject_of(instance), split(stream)[0]
    return (qualify(tenant, subject) if tenant else subject), data


def _is_plain(kind: EventType, data: Any) -> bool:
    """Say whether *data* has something that is not sealed yet, as what an export wrote has not."""
    assert kind.privacy is not None
    found: list[Any] = []

    def keep(value: Any, _path: str) -> Any:
        found.append(value)
        return value

    seal_paths(data, kind.privacy.paths, keep)
    return bool(found)


def _tags(kind: EventType, new: NewEvent) -> Iterable[str]:
    if kind.tags is None or isinstance(new.event, RawEvent):
        return new.tags
    return frozenset((*new.tags, *kind.tags(new.event)))


def describe_error(error: BaseException, name: str, registry: Events = registry) -> str:
    """Say what went wrong with an event of type *name*, without the error's own words where they may quote personal data."""
    kind = registry.find(name)
    if kind is None or kind.privacy is None or isinstance(error, RefoldError):
        return f"{type(error).__name__}: {error}"
    return f"{type(error).__name__}: its words are withheld, for they may quote personal data"
