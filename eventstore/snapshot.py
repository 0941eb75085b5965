"""Snapshots: a state that was folded already, kept to shorten the next load, and believed only when it can be proved fit.

A snapshot is a cache and never the truth. It is used when all of this holds, and silently done without otherwise:
the fold's fingerprint is this code's (so another release's is never met); every event type folded into it still reads as it did;
its bytes have their checksum; the event that it stands on is in the stream under its id. One is written only when it reads back
equal, after the append has been answered, and never within a caller's transaction, which may still be rolled back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from pydantic import TypeAdapter

from eventstore.errors import UnknownEvent
from eventstore.event import Events, EventType
from eventstore.meaning import describe_event, describe_fields, shorten


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of *stream* at *version*, whose last event is *event_id*.

    *kinds* are the event types folded into it, by name, with what each amounted to; *checksum* is that of *state*.
    """

    stream: str
    fingerprint: str
    version: int
    event_id: UUID
    kinds: Mapping[str, str]
    state: bytes
    checksum: bytes


class Snapshots(Protocol):
    """Keeps the newest snapshot of each stream and fold."""

    async def find(self, stream: str, fingerprint: str, most: int) -> Snapshot | None:
        """Give the snapshot of *stream* if it stands at version *most* or below."""
        ...

    async def save(self, snapshot: Snapshot) -> None:
        """Keep *snapshot* unless a newer one is kept already."""
        ...

    async def drop(self, stream: str | None = None) -> int:
        """Delete those of *stream*, or all, as after an erasure; always safe. Gives how many."""
        ...


class Load(NamedTuple):
    """What a load took: the *version* reached, events *folded* since the last snapshot, and the *seconds* of it all."""

    version: int
    folded: int
    seconds: float


Policy = Callable[[Load], bool]
"""Says after a load or an append whether a snapshot is worth writing."""


def every(events: int) -> Policy:
    """Write one when so many *events* were folded since the last."""
    return lambda load: load.folded >= events


def slower(seconds: float) -> Policy:
    """Write one when the load took longer than *seconds*, and folded anything."""
    return lambda load: load.folded > 0 and load.seconds > seconds


def either(*policies: Policy) -> Policy:
    """Write one when any of *policies* says so."""
    return lambda load: any(each(load) for each in policies)


class Codec:
    """Turns states of one type into bytes and back, by pydantic."""

    def __init__(self, shape: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(shape)

    def encode(self, state: Any) -> bytes | None:
        """Give *state* as JSON; None when what is read back from it would not be equal."""
        try:
            text = self._adapter.dump_json(state, warnings="error")
            return text if self._adapter.validate_json(text) == state else None
        except (ValueError, TypeError):
            return None

    def decode(self, state: bytes) -> Any:
        """Read what `encode` wrote. Raises ValueError."""
        return self._adapter.validate_json(state)


def seal(state: bytes) -> bytes:
    """Give the checksum of *state*."""
    return hashlib.sha256(state).digest()


def is_fit(snapshot: Snapshot, events: Events) -> bool:
    """Tell whether the bytes are whole and every event type in it still reads as it did when it was folded."""
    return seal(snapshot.state) == snapshot.checksum and all(
        _amounts_to(events, name) == known for name, known in snapshot.kinds.items()
    )


def amount(kind: EventType) -> str:
    """Give what events of *kind* amount to for a fold: class, fields, schema version, upcasters."""
    return _amount(kind, kind.version, tuple(sorted(kind.upcasters.items(), key=lambda each: each[0])))


def _amounts_to(events: Events, name: str) -> str | None:
    try:
        return amount(events.named(name))
    except UnknownEvent:
        return None


@lru_cache(maxsize=4096)
def _amount(kind: EventType, _version: int, _upcasters: Any) -> str:
    return shorten([describe_event(kind), describe_fields(kind.python)])
