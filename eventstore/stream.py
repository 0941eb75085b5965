"""What an append addresses and what it expects to find there.

A stream is one aggregate's history: a name and versions 1, 2, 3 without gaps. A position orders all events of a store:
the pair (xid, position), compared as a pair; read `docs/explanation/order.md` for why a single number would lose events.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from eventstore.errors import UsageError

MAX_NAME: Final = 512

ANY_VERSION: Final = -1
"""Append whatever the stream's version is."""
NO_STREAM: Final = 0
"""Append only if the stream has no event yet."""
STREAM_EXISTS: Final = -2
"""Append only if the stream has at least one event."""


class Position(NamedTuple):
    """Where an event stands among all events of its store; only comparison and equality mean anything."""

    xid: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.xid}.{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read what `str` wrote."""
        xid, _, sequence = text.partition(".")
        return cls(int(xid), int(sequence))


START: Final = Position(0, 0)
"""Before every event."""


class Token(NamedTuple):
    """What an append returns: "wait until the read model contains this" (read your own writes).

    Hand it to `ReadModels.wait_for`, or to another process as text: `str(token)` and `Token.parse` are inverse.
    """

    stream: str
    version: int
    position: Position

    def __str__(self) -> str:
        return f"{self.position}.{self.version}:{self.stream}"

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read what `str` wrote. Raises ValueError for anything else."""
        head, colon, stream = text.partition(":")
        xid, sequence, version = head.split(".")
        if not colon or not stream:
            raise ValueError(f"{text!r} is not a token")
        return cls(stream, int(version), Position(int(xid), int(sequence)))


def describe_expected(expected: int) -> str:
    """Say an expected version in words, for messages."""
    words = {ANY_VERSION: "any version", NO_STREAM: "no stream", STREAM_EXISTS: "an existing stream"}
    return words.get(expected, f"version {expected}")


def check_moment(moment: datetime) -> datetime:
    """Give *moment* if it names one. Raises UsageError for a naive time, which could be any of 26 hours."""
    if moment.tzinfo is None:
        raise UsageError(f"{moment.isoformat()} has no time zone: use datetime.now(UTC) or .replace(tzinfo=UTC)")
    return moment
