"""Chains of hashes: proof that no event was changed, taken away or slipped in since it was recorded.

Each link is the SHA-256 of the link before and of what the event says; the database makes it while it records the event, so a
writer can't leave it out. Whoever can change events can change the links too, therefore `take_anchor` gives a digest over the
last links of all streams, to be published where that person can't reach: a store that was rewritten as a whole has another.
Source: docs/explanation/chain.md.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import UsageError
from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load
from eventstore.stream import Position

_HERE = "eventstore.postgres"
_ANCHOR = re.compile(r"refold\.anchor\.1:(\d+)-(\d+):(\d+):([0-9a-f]{64})")
SHOWN = 100


@dataclass(frozen=True, slots=True)
class Broken:
    """The first broken link of a stream.

    *fault*: changed (the event is not what was recorded), deleted, added (not recorded through the chain), gap (event and link
    are missing before it), cut (the stream had more events).
    """

    stream: str
    version: int
    fault: str

    def __str__(self) -> str:
        return f"stream {self.stream!r} version {self.version}: {self.fault}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many *streams* and *links* were looked at, in how many streams a link is broken, and the first of those."""

    streams: int
    links: int
    broken_streams: int
    broken: list[Broken]

    def facts(self) -> dict[str, Any]:
        """Give the fields by name, for `--json`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A digest over the last links of *streams* streams, as they were at *position*."""

    position: Position
    streams: int
    digest: str

    def __str__(self) -> str:
        return f"refold.anchor.1:{self.position.xid}-{self.position.sequence}:{self.streams}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """Read what `str` wrote. Raises UsageError."""
        found = _ANCHOR.fullmatch(text.strip())
        if not found:
            raise UsageError(f"{text!r} is no anchor: give what `eventstore chain anchor` printed")
        return cls(Position(int(found[1]), int(found[2])), int(found[3]), found[4])


async def start_chain(engine: AsyncEngine, prefix: str = "", *, history: bool = True) -> int:
    """Chain the streams whose names begin with *prefix* from now on ("" = all); give how many recorded events were linked.

    *history*: link what is recorded already; appends wait meanwhile. The owner's work; safe to repeat.
    """
    async with checkout(engine) as connection:
        row = await (await connection.execute(load(_HERE, "start_chain"), (prefix, history))).fetchone()
    return row[0] if row else 0


async def stop_chain(engine: AsyncEngine, prefix: str = "") -> bool:
    """Chain the streams of *prefix* no more and drop their links; False = they were not chained. The owner's work."""
    async with checkout(engine) as connection:
        row = await (await connection.execute(load(_HERE, "stop_chain"), (prefix,))).fetchone()
    return bool(row and row[0])


async def verify_chain(engine: AsyncEngine, stream: str | None = None) -> Verdict:
    """Compare every link with its event, in one snapshot: of *stream*, or of all that are chained."""
    values = {"stream": stream, "shown": SHOWN}
    async with checkout(engine) as connection:
        row = await (await connection.execute(load(_HERE, "verify_chain"), values)).fetchone()
    assert row is not None
    broken: list[dict[str, Any]] = row[3] or []
    return Verdict(row[0], row[1], row[2], [Broken(**each) for each in broken])


async def take_anchor(engine: AsyncEngine, at: Position | None = None) -> Anchor:
    """Digest the last link of every stream as of *at* (None = all that is readable in order now)."""
    values = {"xid": None if at is None else str(at.xid), "sequence": None if at is None else at.sequence}
    async with checkout(engine) as connection:
        row = await (await connection.execute(load(_HERE, "anchor"), values)).fetchone()
    assert row is not None
    return Anchor(Position(row[0], row[1]), row[2], row[3])
