"""The catalogue of schemas in the store, the events that old code wrote, and the dry run over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import decode, encode, loads
from eventstore.errors import SchemaRefused
from eventstore.event import Events
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.statements import load
from eventstore.schema.history import Recorded
from eventstore.schema.rehearsal import Rehearsal
from eventstore.stream import START, Position

_HERE = "eventstore.postgres"
_TAKEN = "RF041"
_WHOLE = 65_536
_PAGE_EVENTS = 20_000
_PAGE_BYTES = 8 << 20
Tell = Callable[[int, Position], None]


class Sample(NamedTuple):
    """One stored event, its data as it was written."""

    stream: str
    version: int
    position: Position
    id: str
    type: str
    schema_version: int
    data: Any
    occurred_at: datetime


async def read_schemas(engine: AsyncEngine) -> list[Recorded]:
    """Give every recorded schema, by type and version."""
    async with checkout(engine) as connection:
        rows = await (await connection.execute(load(_HERE, "schemas"))).fetchall()
    return [Recorded(name, version, decode(schema), recorded_at, release) for name, version, schema, release, recorded_at in rows]


async def record_schemas(engine: AsyncEngine, schemas: Iterable[Recorded], release: str) -> int:
    """Add *schemas* to the catalogue, all or none; give how many were new.

    Raises SchemaRefused when a version is recorded with another schema, also by somebody else a moment ago.
    """
    given = [
        {"type": each.type, "version": each.version, "schema": each.schema, "fingerprint": each.fingerprint} for each in schemas
    ]
    async with checkout(engine) as connection:
        try:
            row = await (await connection.execute(load(_HERE, "record_schemas"), (encode(given).decode(), release))).fetchone()
        except psycopg.Error as error:
            if error.sqlstate != _TAKEN:
                raise
            raise SchemaRefused(
                f"{error.diag.message_detail}: recorded already with another schema. Raise the version in @event and add an "
                "upcaster from the recorded one; `eventstore schemas check` shows the difference.",
                taken=error.diag.message_detail,
            ) from error
    return row[0] if row else 0


async def read_samples(engine: AsyncEngine, count: int, types: Sequence[str] | None = None) -> list[Sample]:
    """Give the oldest *count* events of every type and version, with their data as it was stored."""
    async with checkout(engine) as connection:
        found = await connection.execute(load(_HERE, "sample_events"), {"count": count, "types": _array(types)})
        rows = await found.fetchall()
    return [
        Sample(stream, version, Position(xid, sequence), id_, name, schema_version, decode(data), occurred_at)
        for stream, version, xid, sequence, id_, name, schema_version, data, occurred_at in rows
    ]


async def rehearse(
    engine: AsyncEngine, events: Events, *, types: Sequence[str] | None = None, share: float = 1.0, tell: Tell | None = None
) -> Rehearsal:
    """Decode every event that ordered readers see, or a *share* of them, and give the count of what failed; writes nothing.

    While one page is decoded the next is fetched. *tell* hears how many events are done and where the last one lies.
    """
    rehearsal = Rehearsal(events)
    chosen = {"types": _array(types), "share": max(1, round(share * _WHOLE)), "events": _PAGE_EVENTS, "bytes": _PAGE_BYTES}
    async with checkout(engine) as connection:
        rows = await _fetch_page(connection, START, chosen)
        while rows:
            last = Position(rows[-1][5], rows[-1][6])
            fetching = asyncio.create_task(_fetch_page(connection, last, chosen))
            try:
                await asyncio.to_thread(_take_page, rehearsal, rows)
            finally:
                rows = await fetching
            if tell:
                tell(rehearsal.total, last)
    return rehearsal


async def _fetch_page(connection: Connection, after: Position, chosen: dict[str, Any]) -> list[Any]:
    cursor = connection.cursor(binary=True)
    await cursor.execute(load(_HERE, "rehearsal_page"), {"xid": str(after.xid), "position": after.sequence, **chosen})
    return await cursor.fetchall()


def _take_page(rehearsal: Rehearsal, rows: Sequence[Any]) -> None:
    """Decode one page, outside the event loop, which goes on fetching; note where the first of each failure lies."""
    groups: dict[tuple[str, int], list[Any]] = {}
    for row in rows:
        groups.setdefault((row[0], row[1]), []).append(row)
    for (name, version), found in groups.items():
        for index, failed in rehearsal.take(name, version, [loads(row[2]) for row in found]):
            stream, number, xid, sequence = found[index][3:]
            failed.first = {"stream": stream, "version": number, "position": str(Position(xid, sequence))}


def _array(types: Sequence[str] | None) -> list[str] | None:
    return list(types) if types else None
