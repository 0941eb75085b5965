"""A dry run of every decoder over stored events: what was read, what could not be, and where the first of each kind lies.

This is the counting half, which waits for nothing; `eventstore.postgres.schemas` brings the events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventstore.errors import UndecodableRecord
from eventstore.event import Events, EventType
from eventstore.upcasting import upgrade

_REASONS = 20
OTHER = "other reasons"
UNKNOWN_TYPE = "no imported module declares this type"


@dataclass(slots=True)
class Failed:
    """Events of one *type* and *version* that failed for one *reason*: how many, and where the *first* lies."""

    type: str
    version: int
    reason: str
    unknown: bool = False
    count: int = 0
    first: dict[str, Any] = field(default_factory=dict[str, Any])

    def facts(self) -> dict[str, Any]:
        """Give it for `--json`."""
        facts = {"type": self.type, "version": self.version, "count": self.count, "reason": self.reason, "unknown": self.unknown}
        return {**facts, "first": self.first}


class Rehearsal:
    """Reads events and keeps count. *read* counts all by type and version, *failed* those that could not be decoded."""

    def __init__(self, events: Events) -> None:
        self.read: dict[tuple[str, int], int] = {}
        self.failed: dict[tuple[str, int, str], Failed] = {}
        self._kinds = {each.name: each for each in events}

    @property
    def total(self) -> int:
        """Events read."""
        return sum(self.read.values())

    @property
    def failures(self) -> list[Failed]:
        """What failed, by type and version."""
        return [self.failed[key] for key in sorted(self.failed)]

    def take(self, name: str, version: int, documents: Sequence[Any]) -> list[tuple[int, Failed]]:
        """Decode *documents*, data of one type and version, in order.

        Gives the index of each that is the first to fail for its reason, so that the caller can say where it lies.
        """
        self.read[name, version] = self.read.get((name, version), 0) + len(documents)
        kind = self._kinds.get(name)
        if kind is None:
            return self._note(name, version, UNKNOWN_TYPE, 0, count=len(documents), unknown=True)
        decode = _decoder(kind, version)
        firsts: list[tuple[int, Failed]] = []
        met = _stumble(decode, documents, 0)
        while met:
            index, error = met
            firsts += self._note(name, version, _explain(kind, documents[index], version, error), index)
            met = _stumble(decode, documents, index + 1)
        return firsts

    def _note(
        self, name: str, version: int, reason: str, index: int, *, count: int = 1, unknown: bool = False
    ) -> list[tuple[int, Failed]]:
        reasons = [each for each in self.failed if each[:2] == (name, version)]
        if (name, version, reason) not in self.failed and len(reasons) >= _REASONS:
            reason = OTHER
        key = (name, version, reason)
        is_first = key not in self.failed
        failed = self.failed.setdefault(key, Failed(name, version, reason, unknown))
        failed.count += count
        return [(index, failed)] if is_first else []


def _decoder(kind: EventType, version: int) -> Callable[[Any], Any]:
    """Give the fastest function that decodes data of *version*; sealed data needs the slower one, which masks it."""
    if kind.privacy is not None or version > kind.version:
        return lambda data: kind.decode(data, version)
    read = kind.read
    return read if version == kind.version else lambda data: read(upgrade(kind, data, version))


def _stumble(decode: Callable[[Any], Any], documents: Sequence[Any], start: int) -> tuple[int, Exception] | None:
    """Decode *documents* from index *start* on, and give the index of the first that fails, and why; None when none does."""
    index = start
    try:
        for index in range(start, len(documents)):
            decode(documents[index])
    except Exception as error:
        return index, error
    return None


def _explain(kind: EventType, document: Any, version: int, error: Exception) -> str:
    """Say why *document* fails, in the words of the decoder that everyone else uses."""
    try:
        kind.decode(document, version)
    except UndecodableRecord as known:
        return str(known)
    except Exception as other:
        error = other
    return f"{type(error).__name__}: {error}"
