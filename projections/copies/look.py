"""Copies as an operator sees them: what each holds beside its table, and dropping them with their generation."""

from __future__ import annotations

from typing import Any

from eventstore.errors import RefoldError
from eventstore.postgres.engine import Connection
from projections.control.checkpoint import has_reached, read_vector
from projections.control.generation import Generation
from projections.copies.contract import Copy
from projections.copies.debt import Debt
from projections.copies.make import recalled_copies
from projections.readmodels.stream import count_rows


async def describe_copies(connection: Connection, generation: Generation) -> list[dict[str, Any]]:
    """Give for each copy of *generation* its rows, those of its table, and how it stands; a sink that is away says so."""
    async with recalled_copies(generation) as copies:
        return [await _describe(connection, generation, name, copy) for name, copy in copies.items()]


async def _describe(connection: Connection, generation: Generation, name: str, copy: Copy) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "sink": name,
        "state": "",
        "rows": None,
        "table_rows": None,
        "pointed": None,
        "behind_rows": 0,
        "behind_s": 0.0,
    }
    async with connection.transaction():
        vector = await read_vector(connection, generation.id)
        facts["table_rows"] = await count_rows(connection, generation.schema_name, name.partition(":")[2])
        owed = await Debt(name, generation.schema_name).read(connection)
    if owed is not None:
        facts |= owed.facts()
    try:
        standing = await copy.stand()
        facts["pointed"] = await copy.pointed()
        if standing is not None:
            facts["rows"] = await copy.count()
    except RefoldError as error:
        return {**facts, "state": f"{owed}; unreachable: {error}" if owed else f"unreachable: {error}"}
    if standing is None or not standing.filled:
        return {**facts, "state": f"not filled yet; {owed}" if owed else "not filled yet"}
    if owed is not None:
        return {**facts, "state": f"{owed}; it catches up by itself"}
    behind = not has_reached(standing.vector, vector)
    return {**facts, "state": "lost rows; it is filled anew" if behind else "level"}


async def drop_copies(generation: Generation) -> None:
    """Drop every copy of *generation*. Raises Unreachable for a sink that is away; then nothing more is dropped."""
    async with recalled_copies(generation) as copies:
        for each in copies.values():
            await each.drop()
