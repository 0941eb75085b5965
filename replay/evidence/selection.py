"""Which rows a repair is about: one by its key, those that events of a type reached, or those reached since a time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from eventstore.codec import decode
from eventstore.envelope import utc
from eventstore.errors import UsageError, suggest
from eventstore.log.events import EventSource
from eventstore.source import Record
from projections.declaration.projection import Projection
from replay.evidence.address import Address
from replay.evidence.sieve import Touch


@dataclass(frozen=True, slots=True)
class Selection:
    """*address* names one row; otherwise rows that events of *kind* reached (None = any), recorded at *since* or later (None = ever)."""

    address: Address | None = None
    kind: str | None = None
    since: datetime | None = None

    def __post_init__(self) -> None:
        if (self.address is None) == (self.kind is None and self.since is None):
            raise UsageError(
                "say which rows: COLUMN=VALUE of one, or --type and --since of the events that reached them, not both"
            )

    def __str__(self) -> str:
        if self.address:
            return str(self.address)
        since = f" since {self.since.isoformat()}" if self.since else ""
        return f"rows reached by {self.kind or 'any event'}{since}"

    def reaches(self, touch: Touch) -> bool:
        """Say whether *touch* makes its row one of those."""
        if self.address is not None:
            return (touch.table.name, touch.key) == (self.address.table.name, self.address.key)
        return self.covers(touch.record)

    def covers(self, record: Record) -> bool:
        """Say whether the rows that *record* reached are among those."""
        kind, at = _describe(record)
        return (self.kind is None or kind == self.kind) and (self.since is None or at >= self.since)


def require_kind(projection: Projection, kind: str) -> None:
    """Raise UsageError with the nearest name unless events of type *kind* reach rows of *projection*."""
    events = [each for each in projection.sources if isinstance(each, EventSource)]
    known = sorted({name for each in events for name in projection.wanted(each)})
    if kind not in known:
        takes = f"no handler of {projection.name} takes events of type {kind!r} (it takes: {', '.join(known)})."
        raise UsageError(takes + suggest(kind, known))


def _describe(record: Record) -> tuple[str | None, datetime]:
    """Give the event's type, None for a change, and when it was recorded."""
    document = decode(record.value or b"{}")
    if isinstance(document, dict) and "recordedat" in document:
        return document["type"], utc(document["recordedat"])  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return None, datetime.fromtimestamp(record.timestamp / 1000, UTC)
