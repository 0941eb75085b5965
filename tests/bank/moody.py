"""A projection whose handler is in a mood that the test sets: what spoils a record may pass, or come, by itself."""

import os
import time
from dataclasses import dataclass, field

from eventstore.envelope import Envelope
from projections import Projection, Projections, Table
from tests.bank.events import MoneyMoved

projection = Projection("moody")


@dataclass(slots=True)
class Note:
    stream: str
    versions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class ByKind:
    kind: str
    moves: int = 0


REFUSED, SLOW = "MOODY_REFUSED", "MOODY_SLOW"
"""Variables of the environment: the kind that is refused, and the seconds that a move of kind `slow` takes. A release's fingerprint
does not follow them, so they change its mood and not its code."""


notes: Table[Note] = projection.table(Note, key="stream")
kinds: Table[ByKind] = projection.table(ByKind, key="kind")


@notes.on(MoneyMoved)
def noted(event: MoneyMoved, row: Note | None, envelope: Envelope[MoneyMoved]) -> Note:
    if event.kind == "slow":
        time.sleep(float(os.environ.get(SLOW, "0")))
    if event.kind == os.environ.get(REFUSED):
        raise ConnectionError(f"{event.kind} is not served today")
    row = row or Note(envelope.stream)
    row.versions.append(envelope.version)
    return row


@kinds.on(MoneyMoved, key=lambda event: event.kind)
def counted(event: MoneyMoved, row: ByKind | None) -> ByKind:
    row = row or ByKind(event.kind)
    row.moves += 1
    return row


app = Projections(projection)
