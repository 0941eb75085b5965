"""Who relays which shard: advisory locks of one session per process, which PostgreSQL frees when that process ends or falls silent.

They say who *should* write, so that healthy relays leave each other alone and a waiting one steps in at once. They do not have
to be right: Kafka's transactional id, taken after the lock, decides who *can* write. The session pings; when its process is
stopped, hung or cut off for longer than the lease, the server ends the session (`idle_session_timeout`), without any clock but
its own. A pooler that shares sessions between clients breaks this: relays need a connection of their own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from zlib import crc32

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import Unreachable
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.statements import load

_PRESENCE = 1 << 30


@dataclass(frozen=True, slots=True)
class Owner:
    """One session that relays a topic, or waits to: its *shards*, and whether it takes part in sharing them out."""

    pid: int
    application: str
    host: str
    mine: bool
    member: bool
    shards: tuple[int, ...]


class Seats:
    """The locks of this process on the shards of *topic*. Make one with `open`."""

    def __init__(self, connection: Connection, topic: str) -> None:
        self._connection = connection
        self._key = _key(topic)

    @classmethod
    @asynccontextmanager
    async def open(cls, engine: AsyncEngine, topic: str, lease_s: float) -> AsyncGenerator[Self]:
        """Borrow a connection for as long as shards are held; all are free afterwards. Raises Unreachable."""
        async with checkout(engine) as connection:
            seats = cls(connection, topic)
            who = f"eventstore relay {os.getpid()}@{socket.gethostname()}"[:63]
            try:
                await seats._ask("shard_lease", (f"{round(lease_s * 1000)}ms", who))
                yield seats
                await seats._ask("shard_leave", ())
            except BaseException:
                await connection.close()
                raise

    async def join(self) -> None:
        """Be counted when shards are shared out."""
        await self._ask("shard_join", (self._key, _PRESENCE))

    async def owners(self) -> list[Owner]:
        """Give everyone who holds a shard or waits for one, in the order in which they came. Counts as a ping."""
        return _owners(await self._ask("relay_owners", (self._key & 0xFFFFFFFF,)))

    async def take(self, shard: int) -> bool:
        """Take *shard* if it is free."""
        [(taken,)] = await self._ask("shard_take", (self._key, shard))
        return bool(taken)

    async def free(self, shard: int) -> None:
        """Give *shard* back."""
        await self._ask("shard_free", (self._key, shard))

    async def _ask(self, statement: str, arguments: tuple[Any, ...]) -> list[Any]:
        try:
            cursor = await self._connection.execute(load("eventstore.postgres", statement), arguments)
            return await cursor.fetchall()
        except psycopg.OperationalError as error:
            raise Unreachable(f"the session that holds this relay's shards ended: {' '.join(str(error).split())}") from error


async def find_owners(engine: AsyncEngine, topic: str) -> list[Owner]:
    """Give everyone who relays *topic* or waits to, in the order in which they came."""
    async with checkout(engine) as connection:
        cursor = await connection.execute(load("eventstore.postgres", "relay_owners"), (_key(topic) & 0xFFFFFFFF,))
        return _owners(await cursor.fetchall())


def _owners(rows: list[Any]) -> list[Owner]:
    return [
        Owner(pid, application, host, mine, _PRESENCE in numbers, tuple(each for each in numbers if each < _PRESENCE))
        for pid, application, host, mine, numbers in rows
    ]


def _key(topic: str) -> int:
    """Give the signed 32 bits that stand for *topic* among all advisory locks of the database."""
    number = crc32(f"refold relay of {topic}".encode())
    return number - (1 << 32) if number >= 1 << 31 else number
