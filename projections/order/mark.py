"""What the fold remembers of each row of an ordered source: where its last message stood, and whether the row is there."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from projections.order.epoch import NOTHING, Order

HISTORY = ""
"""The key of the mark that holds the source's history instead of a row's."""


@dataclass(slots=True)
class Mark:
    """One row of a source, under its key as text.

    *at* is when its last message was committed, 0 = a snapshot found it. *row* is what it was, where messages of its going are to tell it.
    """

    key: str
    epoch: int
    commit: int
    event: int
    rank: int
    at: int
    alive: bool
    row: str | None = None

    @property
    def order(self) -> Order:
        """Where the row's last message stood."""
        return (self.epoch, self.commit, self.event, self.rank)


def mark_history(text: str) -> Mark:
    """Give the mark that holds a source's history."""
    return Mark(HISTORY, *NOTHING, 0, alive=False, row=text)


def name_marks(source: str) -> str:
    """Name the table that holds the marks of *source*: short enough for PostgreSQL, and of no other source."""
    plain = re.sub(r"[^a-z0-9]+", "_", source.lower())
    return f"seen_{plain[:36]}_{hashlib.sha256(source.encode()).hexdigest()[:8]}"
