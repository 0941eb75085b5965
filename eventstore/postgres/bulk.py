"""The store's own bulk path: COPY into a temporary table, then one function that numbers and records a chunk.

A chunk is one transaction. While the server numbers and records one, the next is copied on a second connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.envelope import NewEvent
from eventstore.postgres.engine import checkout
from eventstore.postgres.refusals import backoff_s, is_repeatable, translate
from eventstore.postgres.rows import Writer, check_stream, literal, moment
from eventstore.postgres.statements import load
from eventstore.settings import PostgresSettings
from eventstore.stream import ANY_VERSION

_HERE = "eventstore.postgres"
Pairs = Iterable[tuple[str, object]] | AsyncIterable[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class Imported:
    """How many events were *recorded*, and how many were *known* already and skipped."""

    recorded: int
    known: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What became of one chunk, and the transaction that recorded it."""

    recorded: int
    known: int
    xid: int


class _Overtaken(Exception):
    """The chunk before was recorded by a younger transaction: begin again, so that readers get the wanted order."""


async def import_events(engine: AsyncEngine, events: Pairs, writer: Writer, settings: PostgresSettings) -> Imported:
    """Record *events* chunk by chunk, in order. Known ids are skipped; each chunk is all or nothing."""
    recorded = known = 0
    running: list[asyncio.Task[_Chunk]] = []
    try:
        async for lines in _chunks(events, writer, settings.import_chunk):
            before = running[-1] if running else None
            running.append(asyncio.create_task(_import(engine, lines, before, settings)))
            if len(running) > 1 or settings.pool_size == 1:
                done = await running.pop(0)
                recorded, known = recorded + done.recorded, known + done.known
        for each in running:
            done = await each
            recorded, known = recorded + done.recorded, known + done.known
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return Imported(recorded, known)


async def _import(
    engine: AsyncEngine, lines: list[bytes], before: asyncio.Task[_Chunk] | None, settings: PostgresSettings
) -> _Chunk:
    for attempt in range(1, settings.append_attempts + 1):
        try:
            async with checkout(engine) as connection, connection.transaction():
                own = await _copy(connection, lines)
                if before and (await asyncio.shield(before)).xid > own:
                    raise _Overtaken
                row = await (await connection.execute(load(_HERE, "import"))).fetchone()
                return _Chunk(row[0], row[1], own) if row else _Chunk(0, 0, own)
        except _Overtaken:
            continue
        except psycopg.Error as error:
            if not is_repeatable(error) or attempt == settings.append_attempts:
                raise translate(error, "import", ANY_VERSION) or error from error
        await asyncio.sleep(backoff_s(attempt))
    raise AssertionError("the last attempt returns or raises")


async def _copy(connection: psycopg.AsyncConnection[Any], lines: list[bytes]) -> int:
    """Copy *lines* to the server and give the transaction's xid."""
    await connection.execute(load(_HERE, "incoming"))
    async with connection.cursor().copy(load(_HERE, "copy_incoming")) as copy:
        for start in range(0, len(lines), 500):
            await copy.write(b"".join(lines[start : start + 500]))
    row = await (await connection.execute("SELECT eventstore.current_xid_v1()::text::bigint")).fetchone()
    return row[0] if row else 0


async def _chunks(events: Pairs, writer: Writer, size: int) -> AsyncIterator[list[bytes]]:
    """Give *size* lines of COPY's text format at a time."""
    lines: list[bytes] = []
    add = lines.append
    async for stream, event in _each(events):
        new = NewEvent.wrap(event)
        form, data, metadata = writer.parts(new)
        add(
            b"%d\t%b\t%b\t%b\t%d\t%b\t%b\t%b\t%b\n"
            % (
                len(lines),
                str(new.id).encode(),
                _escape(check_stream(stream)),
                _escape(form.name),
                form.version,
                b"\\N" if new.occurred_at is None else moment(new).encode(),
                data.replace(b"\\", b"\\\\"),
                metadata.replace(b"\\", b"\\\\"),
                _list(writer.tags(stream, new)),
            )
        )
        if len(lines) % 1_000 == 0:
            await asyncio.sleep(0)  # others on this loop, the copying chunk among them, go on
        if len(lines) == size:
            yield lines
            lines = []
            add = lines.append
    if lines:
        yield lines


async def _each(events: Pairs) -> AsyncIterator[tuple[str, object]]:
    if isinstance(events, AsyncIterable):
        async for pair in events:
            yield pair
    else:
        for pair in events:
            yield pair


def _list(tags: list[str]) -> bytes:
    return _escape(literal(tags)) if tags else b"\\N"


def _escape(text: str) -> bytes:
    for sign, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        if sign in text:
            text = text.replace(sign, escaped)
    return text.encode()
