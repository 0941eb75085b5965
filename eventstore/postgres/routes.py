"""The two routes into the log: which events Debezium carries instead of the relay.

A route is a range of positions. It is opened and closed under a lock on the event table, so every event lies on one side of
either end, whatever transactions were open; the relay sees the ends in the snapshot that shows it the events.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from psycopg import errors, sql
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import HeldElsewhere, PreconditionFailed
from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load
from eventstore.stream import START, Position

_HERE = "eventstore.postgres"


@dataclass(frozen=True, slots=True)
class Route:
    """Debezium carries the positions above *after* up to *until* (None = it does now); the relay goes on once it is *settled*.

    *readable* says that ordered readers can see every event up to *after*.
    """

    id: int
    after: int
    until: int | None
    resume_xid: int | None
    settled: bool
    readable: bool

    @property
    def floor(self) -> Position:
        """Where the relay goes on at the earliest, START while the route is not settled."""
        return Position(self.resume_xid, 0) if self.settled and self.resume_xid is not None else START


async def find_route(engine: AsyncEngine, topic: str) -> Route | None:
    """Give the latest route by Debezium into *topic*, None when there never was one."""
    async with checkout(engine) as connection:
        row = await (await connection.execute(load(_HERE, "route_find"), (topic,))).fetchone()
        return Route(*row) if row else None


async def prepare_route(engine: AsyncEngine, name: str) -> bool:
    """Make slot and publication *name* as far as they are missing; False = the slot was there. Before `open_route`, or events are lost.

    The publication holds no table: what travels are messages, so nothing that happens to a table can stop the connector.
    """
    async with checkout(engine) as connection:
        with contextlib.suppress(errors.DuplicateObject):
            await connection.execute(sql.SQL("CREATE PUBLICATION {}").format(sql.Identifier(name)))
        row = await (await connection.execute(load(_HERE, "route_slot"), (name, name))).fetchone()
        return row is not None


async def open_route(engine: AsyncEngine, topic: str, source: str) -> None:
    """Announce events from now on for Debezium. Raises HeldElsewhere when writers do not pause, PreconditionFailed when it is on."""
    try:
        async with checkout(engine) as connection:
            await connection.execute(load(_HERE, "route_open"), (topic, source))
    except errors.UniqueViolation as error:
        raise PreconditionFailed("Debezium carries this store's events already, or is being switched off") from error
    except errors.LockNotAvailable as error:
        raise _busy() from error


async def close_route(engine: AsyncEngine) -> bool:
    """Announce nothing any more; False = it was closed already, or never open. Raises HeldElsewhere."""
    try:
        async with checkout(engine) as connection:
            row = await (await connection.execute(load(_HERE, "route_close"))).fetchone()
            return row is not None and row[0] is not None
    except errors.LockNotAvailable as error:
        raise _busy() from error


class Ending(NamedTuple):
    """A route that is not settled: whether all its events can be read, since when it carries, and the source that they name."""

    readable: bool
    opened_at: datetime
    source: str


async def find_ending(engine: AsyncEngine) -> Ending | None:
    """Tell of the route that is not settled, None when there is none."""
    async with checkout(engine) as connection:
        row = await (await connection.execute(load(_HERE, "route_ended"))).fetchone()
        return Ending(bool(row[0]), row[1], row[2]) if row else None


async def settle_route(engine: AsyncEngine) -> bool:
    """Let the relay go on where the closed route ended; False = a transaction from before its end still runs. Raises HeldElsewhere."""
    try:
        async with checkout(engine) as connection:
            row = await (await connection.execute(load(_HERE, "route_settle"))).fetchone()
            return row is not None and row[0] is not None
    except errors.LockNotAvailable as error:
        raise _busy() from error


def _busy() -> HeldElsewhere:
    return HeldElsewhere(
        "a transaction has recorded events and stayed open for 5 s, so the routes could not be switched between two events: "
        "`eventstore doctor` names it; run this again when it has ended. Nothing was changed."
    )
