"""Snapshots in PostgreSQL, in a table of their own that may be emptied at any time."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import encode
from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load
from eventstore.snapshot import Snapshot

_HERE = "eventstore.postgres"


class PostgresSnapshots:
    """Keeps the newest snapshot of each stream and fold in the database of *engine*."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def find(self, stream: str, fingerprint: str, most: int) -> Snapshot | None:
        """Give the snapshot of *stream* if it stands at version *most* or below."""
        async with checkout(self._engine) as connection:
            row = await (await connection.execute(load(_HERE, "find_snapshot"), (stream, fingerprint, most))).fetchone()
        return Snapshot(*row) if row else None

    async def save(self, snapshot: Snapshot) -> None:
        """Keep *snapshot* unless a newer one is kept already."""
        values = {**asdict(snapshot), "kinds": encode(snapshot.kinds).decode()}
        async with checkout(self._engine) as connection:
            await connection.execute(load(_HERE, "save_snapshot"), values)

    async def drop(self, stream: str | None = None) -> int:
        """Delete those of *stream*, or all, as after an erasure; always safe. Gives how many."""
        async with checkout(self._engine) as connection:
            return (await connection.execute(load(_HERE, "drop_snapshots"), {"stream": stream})).rowcount
