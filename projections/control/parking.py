"""Records that could not be applied, set aside with their bytes and the reason; the later ones of the same key wait behind them.

Nobody but the owner of a partition takes records out of the list: what people ask for (try again, leave out) is noted beside the
record, and the owner carries it out under its fence (`Pipeline.mend`). So one process at a time writes the rows of a key, whatever
rebalances meanwhile, and it is the same one that remembers which keys are parked. ADR 0021.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from eventstore.source import Record

PACKAGE = "projections"
AT_ONCE = 500
"""Records of one key that are applied again in one transaction."""
Headers = Sequence[tuple[str, bytes]]


class Patience(NamedTuple):
    """How often a parked record is tried again by itself, and after how many seconds: *first_s*, doubled each time up to *most_s*."""

    attempts: int
    first_s: float
    most_s: float

    def wait_s(self, tried: int) -> float | None:
        """Seconds until the next attempt after *tried* of them; None = no more without being asked."""
        return min(self.most_s, self.first_s * 2.0 ** min(tried, 60)) if tried < self.attempts else None


class Due(NamedTuple):
    """A parked key whose time has come, with the offset of its first due record; a record without a key stands for itself."""

    topic: str
    partition: int
    key: bytes | None
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


class Parked(NamedTuple):
    """One parked record; implements `eventstore.source.Record`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: str
    attempts: int
    skip: bool


async def park(connection: Connection, generation: int, record: Record, reason: str, retry_s: float | None) -> None:
    """Set *record* aside, to be tried again in *retry_s* seconds (None = when the one before it was, or when asked). Safe to repeat."""
    values = {
        "generation": generation,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key,
        "value": record.value,
        "headers": Jsonb(write_headers(record.headers)),
        "reason": _tidy(reason),
        "retry_s": retry_s,
    }
    await connection.execute(load(PACKAGE, "insert_parked"), values)


async def find_due(connection: Connection, generation: int, partitions: Iterable[tuple[str, int]], limit: int) -> list[Due]:
    """Give the keys of *partitions* whose time has come, the longest waiting first."""
    wanted = sorted(partitions)
    values = {"generation": generation, "topics": [t for t, _ in wanted], "partitions": [p for _, p in wanted], "limit": limit}
    rows = await (await connection.execute(load(PACKAGE, "due_parked"), values)).fetchall()
    return [Due(topic, partition, _bytes(key), offset) for topic, partition, key, offset in rows]


async def lock_parked(connection: Connection, generation: int, due: Due, limit: int = AT_ONCE) -> list[Parked]:
    """Give the first *limit* records of a key, in order, locked until the caller's transaction ends."""
    statement = "lock_parked_record" if due.key is None else "lock_parked_key"
    rows = await (
        await connection.execute(load(PACKAGE, statement), {**due._asdict(), "generation": generation, "limit": limit})
    ).fetchall()
    return [
        Parked(topic, partition, offset, timestamp, _bytes(key), _bytes(value), read_headers(headers), reason, attempts, skip)
        for topic, partition, offset, timestamp, key, value, headers, reason, attempts, skip in rows
    ]


async def drop_parked(connection: Connection, generation: int, due: Due, offsets: Sequence[int]) -> None:
    """Take records of a key out of the list, in the transaction that applied them or leaves them out."""
    values = {"generation": generation, "topic": due.topic, "partition": due.partition, "offsets": list(offsets)}
    await connection.execute(load(PACKAGE, "delete_parked"), values)


async def fail_parked(connection: Connection, generation: int, failed: Parked, reason: str, retry_s: float | None) -> None:
    """Note that a record failed again, and when it is tried next."""
    values = {
        "generation": generation,
        "topic": failed.topic,
        "partition": failed.partition,
        "offset": failed.offset,
        "key": failed.key,
        "reason": _tidy(reason),
        "retry_s": retry_s,
    }
    await connection.execute(load(PACKAGE, "fail_parked"), values)


async def go_on(connection: Connection, generation: int, due: Due) -> bool:
    """Let the owner go on with the next records of a key at once; False = there are none."""
    cursor = await connection.execute(load(PACKAGE, "next_parked"), {**due._asdict(), "generation": generation})
    return cursor.rowcount > 0


async def list_drift(connection: Connection, generation: int) -> list[str]:
    """Give the reasons, five at most, of records that wait because their table's columns have changed."""
    rows = await (await connection.execute(load(PACKAGE, "list_drift"), {"generation": generation})).fetchall()
    return [reason for (reason,) in rows]


async def count_parked(connection: Connection, generation: int) -> int:
    """Count the parked records of *generation*."""
    found = await (await connection.execute(load(PACKAGE, "count_parked"), {"generation": generation})).fetchone()
    return found[0] if found else 0


async def list_parked(connection: Connection, projection: str | None = None) -> list[dict[str, Any]]:
    """List parked records, oldest first, without their payloads."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(load(PACKAGE, "list_parked"), {"projection": projection})
        return await cursor.fetchall()


async def find_parked(connection: Connection, generation: int, place: tuple[str, int, int]) -> dict[str, Any] | None:
    """Give the record at *place* (topic, partition, offset) with its bytes; None = it is not parked."""
    topic, partition, offset = place
    async with connection.cursor(row_factory=dict_row) as cursor:
        values = {"generation": generation, "topic": topic, "partition": partition, "offset": offset}
        await cursor.execute(load(PACKAGE, "find_parked"), values)
        return await cursor.fetchone()


async def ask_retry(connection: Connection, generation: int, key: bytes | None = None) -> list[Due]:
    """Ask the owners to try *key* again now (None = every key), and give what was asked for."""
    rows = await (await connection.execute(load(PACKAGE, "ask_parked"), {"generation": generation, "key": key})).fetchall()
    return [Due(topic, partition, _bytes(found), offset) for topic, partition, found, offset in rows]


async def ask_skip(connection: Connection, generation: int, place: tuple[str, int, int]) -> list[Due]:
    """Ask the owner to leave the record at *place* out and to go on with its key; none = it is not parked."""
    topic, partition, offset = place
    values = {"generation": generation, "topic": topic, "partition": partition, "offset": offset}
    rows = await (await connection.execute(load(PACKAGE, "skip_parked"), values)).fetchall()
    return [Due(topic, partition, _bytes(key), offset) for topic, partition, key, offset in rows]


async def count_asked(connection: Connection, generation: int, asked: Sequence[Due]) -> int:
    """Count the records among *asked* that still wait for their owner."""
    row = await (await connection.execute(load(PACKAGE, "await_parked"), _name(generation, asked))).fetchone()
    return row[0] if row else 0


async def list_left(connection: Connection, generation: int, asked: Sequence[Due]) -> list[dict[str, Any]]:
    """Give, for each key of *asked* that is still parked, its first record and how many wait behind it."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(load(PACKAGE, "left_parked"), _name(generation, asked))
        return await cursor.fetchall()


def _name(generation: int, asked: Sequence[Due]) -> dict[str, Any]:
    return {
        "generation": generation,
        "topics": [each.topic for each in asked],
        "partitions": [each.partition for each in asked],
        "keys": [each.key for each in asked],
        "offsets": [each.offset for each in asked],
    }


def write_headers(headers: Iterable[tuple[str, bytes | None]]) -> list[list[str | None]]:
    """Write headers as JSON: [name, text], or [name, None, base64] for what is no text that PostgreSQL takes.

    A name that it would not take is written in base64 too, and the word "name" behind all.
    """
    return [_write_header(name, value) for name, value in headers]


def read_headers(written: Iterable[Sequence[str | None]]) -> Headers:
    """Read what `write_headers` wrote, to the byte."""
    found: list[Any] = []
    for name, text, *packed in written:
        value = None if text is None else text.encode()
        if packed:
            value = None if packed[0] is None else b64decode(packed[0])
        found.append((b64decode(name or "").decode() if len(packed) > 1 else name, value))
    return found


def _write_header(name: str, value: bytes | None) -> list[str | None]:
    if "\0" in name:
        return [b64encode(name.encode()).decode(), None, None if value is None else b64encode(value).decode(), "name"]
    if value is None:
        return [name, None]
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    return [name, None, b64encode(value).decode()] if "\0" in text else [name, text]


def _tidy(reason: str) -> str:
    """Give a reason as PostgreSQL takes it, whatever bytes it quotes."""
    return reason[:2000].encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
