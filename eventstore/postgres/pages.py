"""Stored events as texts, page by page, for whoever carries them on without looking inside."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load
from eventstore.stream import Position

TextRow = tuple[str, int, int, int, str, str, int, str, str, str, str, str | None, int]
"""`eventstore.log.wire.Row`, and when it was recorded in milliseconds."""
_HERE = "eventstore.postgres"


class Wanted(NamedTuple):
    """What a page is cut from: events for *topic* ("" = all there are), at most *events* of them, and about *size* stored bytes.

    Routes of the topic up to number *void* do not count: they fed a topic of that name which is gone.
    """

    topic: str
    events: int
    size: int
    void: int = 0


async def read_page(engine: AsyncEngine, after: Position, wanted: Wanted) -> list[TextRow]:
    """Give what the relay has to publish after *after*, in order, ending early when its data passes the size; at least one."""
    return await _fetch(engine, "relay_page", {"xid": str(after.xid), "position": after.sequence, **wanted._asdict()})


async def read_carried(engine: AsyncEngine, after: Position, span: tuple[int, int], events: int) -> list[TextRow]:
    """Give at most *events* that Debezium was to carry, after *after* in order: those of positions above *span*'s first up to its last."""
    values = {"xid": str(after.xid), "position": after.sequence, "first": span[0], "last": span[1], "events": events}
    return await _fetch(engine, "route_page", values)


async def find_event(engine: AsyncEngine, position: Position) -> str | None:
    """Give the id of the event at *position*, None when there is none."""
    rows = await _fetch(engine, "event_at", (str(position.xid), position.sequence))
    return rows[0][0] if rows else None


async def _fetch(engine: AsyncEngine, name: str, arguments: tuple[Any, ...] | dict[str, Any]) -> list[Any]:
    async with checkout(engine) as connection:
        cursor = connection.cursor(binary=True)
        await cursor.execute(load(_HERE, name), arguments)
        return await cursor.fetchall()


async def measure_lag(engine: AsyncEngine, after: Position) -> tuple[int, float]:
    """Count the readable events after *after*, and give the seconds since the first of them was recorded (0 without any)."""
    [row] = await _fetch(engine, "relay_lag", (str(after.xid), after.sequence))
    return row[0], row[1]
