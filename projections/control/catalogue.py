"""The catalogue of generations, the pointer to the live one, and the audit of every move. Each function is one statement.

Functions take the caller's connection, so that a move and what belongs to it commit together.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from typing import Any

from psycopg.errors import InvalidSchemaName, UndefinedTable
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from eventstore.errors import MigrationMissing, PreconditionFailed, suggest
from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.control.generation import Generation, State, require_move

PACKAGE = "projections"


async def _rows(connection: Connection, statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(load(PACKAGE, statement), values)
            return await cursor.fetchall()
    except (UndefinedTable, InvalidSchemaName) as error:
        raise MigrationMissing(
            f"the catalogue of projections is missing ({error.diag.message_primary}): run `eventstore migrate`"
        ) from error


def _generation(row: dict[str, Any]) -> Generation:
    values: dict[str, Any] = {**row, "state": State(row["state"])}
    return Generation(**values)


async def list_generations(connection: Connection, projection: str | None = None) -> list[Generation]:
    """Give the generations of *projection* (None = all), newest first."""
    rows = await _rows(connection, "list_generations", {"projection": projection})
    return [_generation(each) for each in rows]


async def require_generations(connection: Connection, projection: str | None) -> list[Generation]:
    """Do the same, where a *projection* that is named must have one. Raises PreconditionFailed with the nearest name."""
    every = await list_generations(connection)
    if not projection:
        return every
    found = [each for each in every if each.projection == projection]
    if not found:
        names = sorted({each.projection for each in every})
        there = (
            f"there are some of {', '.join(names)}" if names else "there is none of any projection yet: start `projections run`"
        )
        raise PreconditionFailed(f"there is no generation of {projection!r}; {there}.{suggest(projection, names)}")
    return found


async def find_live(connection: Connection, projection: str) -> Generation | None:
    """Give the live generation, or None before the first one."""
    rows = await _rows(connection, "find_live", {"projection": projection})
    return _generation(rows[0]) if rows else None


async def read_pointers(connection: Connection) -> dict[str, Generation]:
    """Give the live generation of every projection."""
    return {each["projection"]: _generation(each) for each in await _rows(connection, "read_pointers", {})}


async def create_generation(connection: Connection, facts: Mapping[str, Any]) -> Generation:
    """Add a generation with the projection's next number, in state created.

    *facts* holds projection, slug, prefix, version, fingerprint, topics and, if any, detail.
    """
    values = {**facts, "topics": Jsonb(facts["topics"]), "detail": Jsonb(facts.get("detail", {}))}
    return _generation((await _rows(connection, "create_generation", values))[0])


async def move(
    connection: Connection, generation: Generation, there: State, *, retire_after_s: float | None = None
) -> Generation:
    """Move *generation* from the state it was read in to *there*.

    Raises PreconditionFailed when the move is not legal, or when someone else moved it meanwhile: read it again.
    """
    require_move(generation, there)
    values = {"id": generation.id, "here": generation.state, "there": there, "retire_after_s": retire_after_s}
    rows = await _rows(connection, "move_generation", values)
    if not rows:
        raise PreconditionFailed(f"{generation} is no longer {generation.state}: someone else moved it; run the command again")
    return _generation(rows[0])


async def lock_pointer(connection: Connection, projection: str) -> int | None:
    """Lock the pointer of *projection* until the transaction ends and give the live generation's id."""
    rows = await _rows(connection, "lock_pointer", {"projection": projection})
    return rows[0]["generation"]


async def set_pointer(connection: Connection, projection: str, generation: int) -> None:
    """Point *projection* at *generation*; readers that begin after the commit see it."""
    await _rows(connection, "set_pointer", {"projection": projection, "generation": generation})


async def note(
    connection: Connection, action: str, generation: Generation, *, origin: Generation | None, detail: Mapping[str, Any]
) -> None:
    """Write the audit row of a move, in the move's own transaction."""
    values = {
        "projection": generation.projection,
        "action": action,
        "from_generation": origin.number if origin else None,
        "to_generation": generation.number,
        "actor": describe_actor(),
        "detail": Jsonb(dict(detail)),
    }
    await _rows(connection, "insert_audit", values)


async def add_detail(connection: Connection, generation: Generation, detail: Mapping[str, Any]) -> None:
    """Add facts to a generation's detail, in one statement, whatever its state."""
    await _rows(connection, "add_detail", {"id": generation.id, "detail": Jsonb(dict(detail))})


async def note_mended(connection: Connection, generation: int) -> None:
    """Count that rows of a generation were changed without a move of its checkpoint, in the transaction that changes them."""
    await _rows(connection, "note_mended", {"id": generation})


async def read_audit(connection: Connection, projection: str, limit: int = 20, *, moves: bool = False) -> list[dict[str, Any]]:
    """Give the newest audit rows of *projection*; *moves*: only those in which one generation took another's place."""
    return await _rows(connection, "read_audit", {"projection": projection, "limit": limit, "moves": moves})


def describe_actor() -> str:
    """Say who runs this process: user@host pid."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} pid {os.getpid()}"
