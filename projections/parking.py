"""Records that could not be applied, set aside with their bytes and the reason; the later ones of the same key wait behind them."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load


async def count_parked(connection: Connection, generation: int) -> int:
    """Count the parked records of *generation*."""
    found = await (await connection.execute(load("projections", "count_parked"), {"generation": generation})).fetchone()
    return found[0] if found else 0


async def list_parked(connection: Connection, projection: str | None = None) -> list[dict[str, Any]]:
    """List parked records, oldest first, without their payloads."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(load("projections", "list_parked"), {"projection": projection})
        return await cursor.fetchall()
