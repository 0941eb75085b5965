"""The catalogue of schemas in the store, the events that old code wrote, and the dry run over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import decode, encode
from eventstore.errors import SchemaRefused
from eventstore.event import Events
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.statements import load
from eventstore.schema.history import Recorded
from eventstore.schema.rehearsal import Failed, Rehearsal
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
    page = _Page(START, _array(types), max(1, round(share * _WHOLE)))
    async with checkout(engine) as connection:
        rows = await page.fetch(connection)
        while rows:
            following = page.after(rows)
            fetching = asyncio.create_task(following.fetch(connection))
            try:
                firsts = await asyncio.to_thread(_take_page, rehearsal, rows)
            finally:
                upcoming = await fetching
            for name, version, index, failed in firsts:
                failed.first = await page.locate(connection, following.position, name, version, index)
            if tell:
                tell(rehearsal.total, following.position)
            page, rows = following, upcoming
    return rehearsal


class _Page(NamedTuple):
    """One page of a rehearsal: what begins after *position*, of *types* (None = all), *share* of 65,536."""

    position: Position
    types: list[str] | None
    share: int

    async def fetch(self, connection: Connection) -> list[Any]:
        """Give a row for each type and version on the page; none at the end."""
        values = {**self._values(), "types": self.types, "events": _PAGE_EVENTS, "bytes": _PAGE_BYTES}
        return await (await connection.execute(load(_HERE, "rehearsal_page"), values)).fetchall()

    def after(self, rows: Sequence[Any]) -> _Page:
        """Give the page that follows *rows*."""
        return self._replace(position=Position(rows[0][4], rows[0][5]))

    async def locate(self, connection: Connection, last: Position, name: str, version: int, index: int) -> dict[str, Any]:
        """Say where the event lies that is the *index*-th of its type and version on this page, which ends at *last*."""
        values = {
            **self._values(),
            "last_xid": str(last.xid),
            "last_position": last.sequence,
            "type": name,
            "version": version,
            "nth": index,
        }
        row = await (await connection.execute(load(_HERE, "rehearsal_event"), values)).fetchone()
        return {} if row is None else {"stream": row[0], "version": row[1], "position": str(Position(row[2], row[3]))}

    def _values(self) -> dict[str, Any]:
        return {"xid": str(self.position.xid), "position": self.position.sequence, "share": self.share}


def _take_page(rehearsal: Rehearsal, rows: Sequence[Any]) -> list[tuple[str, int, int, Failed]]:
    """Decode one page, outside the event loop, which goes on fetching."""
    return [
        (name, version, index, failed)
        for name, version, _, documents, *_ in rows
        for index, failed in rehearsal.take(name, version, decode(documents))
    ]


def _array(types: Sequence[str] | None) -> list[str] | None:
    return list(types) if types else None
