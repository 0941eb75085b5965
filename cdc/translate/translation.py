"""What a change means in the words of the domain: plain functions from a change to events. Pure.

An event's id follows from the translation, the row's key and the change's place in the source's log, so the same change gives the
same ids whoever reads it, how often, and in whatever batches. A table without a primary key has no such identity and is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from cdc.capture import CapturedTable
from cdc.change import Change
from eventstore.envelope import NewEvent
from eventstore.errors import UsageError
from eventstore.identity import derive_id

F = TypeVar("F", bound=Callable[[Change], Any])
_NAME = re.compile(r"^[a-z][a-z0-9-]*$")
_OPS = "crudt"
_MILLISECONDS = (1 << 48) - 1


class Translation:
    """The events that changes of the captured table *source* stand for, under the *name* that its checkpoint is kept by.

    *stream* gives the stream of a change's events: a format over the names of the primary key's columns, or a function of the change.
    *start*: what a translation that never ran reads first, the whole log or what comes from now on.
    """

    def __init__(
        self, name: str, source: CapturedTable, *, stream: str | Callable[[Change], str], start: str = "beginning"
    ) -> None:
        if not _NAME.match(name):
            raise UsageError(f"translation name {name!r}: use kebab-case words")
        if start not in ("beginning", "now"):
            raise UsageError(f"translation {name!r} can't start at {start!r}: beginning or now")
        self.name = name
        self.source = source
        self.start = start
        self._stream = stream
        self._handlers: dict[str, Callable[[Change], Any]] = {}

    def __repr__(self) -> str:
        return f"Translation({self.name!r}, {self.source.name})"

    def on(self, *ops: str) -> Callable[[F], F]:
        """Declare what changes of these kinds mean: `function(change)` gives an event, a list of events (or yields them), or None.

        *ops* as in `Change.op`: `c` inserted, `u` updated, `d` deleted, `r` read by a snapshot, `t` table truncated. Each kind has one
        function; kinds without one mean nothing.
        """
        for op in ops:
            if op not in _OPS or len(op) != 1:
                raise UsageError(f"translation {self.name!r}: {op!r} is no kind of change; they are {', '.join(_OPS)}")
            if op in self._handlers:
                raise UsageError(f"translation {self.name!r} has a function for {op!r} already")
        if not ops:
            raise UsageError(f"translation {self.name!r}: say which kinds of changes, such as on('c', 'u')")

        def declare(function: F) -> F:
            self._handlers.update(dict.fromkeys(ops, function))
            return function

        return declare

    def translate(self, change: Change) -> tuple[str, list[NewEvent]]:
        """Give the stream and the events of *change*, each with its id. Raises UsageError, and whatever its function raises."""
        handler = self._handlers.get(change.op)
        given = None if handler is None else handler(change)
        events = list(_several(given))
        if not events:
            return "", []
        if not change.key and change.op != "t":
            raise UsageError(f"{change.table} has no primary key, so its changes can't be told apart and are not translated")
        wrapped = [NewEvent.wrap(each) for each in events]
        cause = self._identify(change)
        stream = self._stream(change) if callable(self._stream) else self._format(self._stream, change)
        return stream, [self._finish(each, derive_id(cause, index), change) for index, each in enumerate(wrapped)]

    def _format(self, pattern: str, change: Change) -> str:
        try:
            return pattern.format(**dict(zip(change.key_names, change.key, strict=True)))
        except (KeyError, IndexError) as error:
            raise UsageError(
                f"translation {self.name!r}: stream={pattern!r} names {error}, but the key of {change.table} has "
                f"{', '.join(change.key_names) or 'no columns'}"
            ) from error

    def _identify(self, change: Change) -> UUID:
        """Give the change's own id: by place in the log and key, beginning with the time of its commit, as ids of version 7 do."""
        place = (self.name, change.table, change.op, *map(repr, change.key), change.order[1], change.source.tx_id)
        chance = int.from_bytes(hashlib.sha256("\0".join(map(str, place)).encode()).digest()[:10], "big")
        millis = int(change.source.committed_at.timestamp() * 1000) & _MILLISECONDS
        return UUID(int=(millis << 80) | 0x7000_8000_0000_0000_0000 | (chance & 0x0FFF_3FFF_FFFF_FFFF_FFFF))

    def _finish(self, event: NewEvent, event_id: UUID, change: Change) -> NewEvent:
        told = {"translation": self.name, "table": change.table, "lsn": change.order[1]}
        occurred = event.occurred_at or change.source.committed_at
        return NewEvent(event.event, event_id, occurred, {**told, **event.metadata}, event.tags)


class Translations:
    """A program: the translations that `cdc translate` runs."""

    def __init__(self, *translations: Translation) -> None:
        names = [each.name for each in translations]
        if len(set(names)) < len(names):
            raise UsageError(f"translations need names of their own; these are {', '.join(sorted(names))}")
        self.translations = translations


def _several(given: Any) -> Sequence[object]:
    if given is None:
        return ()
    if isinstance(given, (list, Iterator)):
        return tuple(cast("Iterable[object]", given))
    return (given,)
