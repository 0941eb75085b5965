"""What becomes of events that this release can't know, because a newer one writes already: parked, or passed over.

A *newer version* of a type that a projection handles belongs to its rows, so by default it is parked, with the later events of
its stream, until the newer code is deployed and replayed. A type that *no module declares* reaches no handler, so the rows are
right without it, and by default it is passed over: another service may own it, and a release that handles it is rebuilt from the
first event anyway.
"""

from __future__ import annotations

from json import JSONDecodeError

from eventstore.codec import loads
from eventstore.errors import NewerEvent, UndeclaredEvent
from eventstore.event import Events
from eventstore.forgotten import FORGOTTEN
from eventstore.settings import EventSettings
from eventstore.source import Message, Reader, Record


def guard(reader: Reader, events: Events, policy: EventSettings, skipped: dict[tuple[str, int], int]) -> Reader:
    """Give *reader* with *policy*; with the default one it is *reader* itself, which costs nothing.

    *skipped* counts newer events that were passed over, by type and version. The reader raises NewerEvent or UndeclaredEvent for
    what is to be parked.
    """
    if policy.newer == "skip":
        reader = _skip_newer(reader, skipped)
    if policy.undeclared == "park":
        reader = _park_undeclared(reader, {FORGOTTEN, *(each.name for each in events)})
    return reader


def _skip_newer(reader: Reader, skipped: dict[tuple[str, int], int]) -> Reader:
    def read(record: Record) -> Message | None:
        try:
            return reader(record)
        except NewerEvent as error:
            key = (error.facts["type"], error.facts["version"])
            skipped[key] = skipped.get(key, 0) + 1
            return None

    return read


def _park_undeclared(reader: Reader, declared: set[str]) -> Reader:
    def read(record: Record) -> Message | None:
        message = reader(record)
        if message is None and (name := _type_of(record)) is not None and name not in declared:
            raise UndeclaredEvent(
                f"event type {name!r} is declared by no module of this release: deploy the release that declares it, and replay; "
                "or pass such events over with REFOLD_EVENTS_UNDECLARED=skip",
                type=name,
            )
        return message

    return read


def _type_of(record: Record) -> str | None:
    try:
        return loads(record.value)["type"] if record.value is not None else None
    except (JSONDecodeError, KeyError, TypeError):
        return None
