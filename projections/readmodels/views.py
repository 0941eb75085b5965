"""Stable names for psql and BI: a view per table, `<projection>.<table>`, that follows the live generation right after each swap.

Best effort: the views move in a transaction of their own, all of a projection or none, and wait for locks in short attempts only, so that
neither a long report nor those who queue behind it are in anybody's way. What can't be moved is noted in the generation, with the
reason, and tried again by its worker. Web apps use `ReadModels.session`, which is exact.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from psycopg import Error, Rollback, sql
from psycopg.errors import DependentObjectsStillExist, InsufficientPrivilege, LockNotAvailable
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import Connection, ConnectionLost, checkout
from eventstore.postgres.statements import load
from projections.control.catalogue import find_live
from projections.control.generation import Generation
from projections.declaration.projection import Projection
from projections.readmodels.layout import BuiltUpon, Column, Relation, compose_move, find_taken

PACKAGE = "projections"
LOCK: Final = sql.SQL("SET LOCAL lock_timeout = '100ms'")
"""Whoever reads the view waits behind us for so long at most, an attempt."""
PATIENCE_S = 2.0


async def move_views(engine: AsyncEngine, generation: Generation, *, patience_s: float = PATIENCE_S) -> str | None:
    """Let the views of its projection show *generation*, as long as it is live. None = they do; else why not, noted too.

    Safe to repeat, and for several processes at once.
    """
    async with checkout(engine) as connection:
        deadline = time.monotonic() + patience_s
        while True:
            reason, again = await _try(connection, generation)
            if not again or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.05)
        if not connection.closed:
            await connection.execute(load(PACKAGE, "note_views"), {"id": generation.id, "reason": reason})
    return reason


async def create_views(engine: AsyncEngine, _: Projection, generation: Generation) -> bool:
    """Let the views show *generation*; say whether they do."""
    return await move_views(engine, generation) is None


async def _try(connection: Connection, generation: Generation) -> tuple[str | None, bool]:
    """Try once; give why not, and whether that may pass within moments."""
    try:
        try:
            return await _move(connection, generation, shared=True), False
        except InsufficientPrivilege:  # views of the time before there were roles belong to a login
            return await _move(connection, generation, shared=False), False
    except LockNotAvailable:
        return f"a reader held the views of {generation.projection}, which still show the generation before", True
    except BuiltUpon as error:
        upon = ", ".join(await find_dependents(connection, name_home(generation)))
        return (
            f"the views of {generation.projection} still show the generation before: {error}, because something was built upon that "
            f"({upon}). Drop or change it; the worker tries again by itself"
        ), False
    except DependentObjectsStillExist as error:
        told = "; ".join((error.diag.message_detail or str(error)).splitlines())
        return (
            f"the views of {generation.projection} still show the generation before, because something was built upon them ({told}). "
            "Drop or change it; the worker tries again by itself"
        ), False
    except ConnectionLost:
        raise
    except Error as error:
        return f"the views of {generation.projection} could not be moved: {error.diag.message_primary or error}", False


async def _move(connection: Connection, generation: Generation, *, shared: bool) -> str | None:
    home = name_home(generation)
    async with connection.transaction() as whole:
        await connection.execute(LOCK)
        await connection.execute(load(PACKAGE, "lock_views"), {"projection": generation.projection})
        if shared:
            await connection.execute(load(PACKAGE, "become_projector"))
        found = await read_layout(connection, generation.schema_name, home)
        if (taken := find_taken(found, generation, home)) is not None:
            return f"{taken} is no view but something of your own: rename it, and the worker makes the view by itself"
        for statement in compose_move(found, generation, home):
            await connection.execute(statement)
        live = await find_live(connection, generation.projection)
        if live is None or live.id != generation.id:
            raise Rollback(whole)
    return None


async def read_layout(connection: Connection, schema: str, home: str) -> list[Relation]:
    """Read what there is in a generation's *schema* and in *home*, the schema of the views."""
    rows = await (await connection.execute(load(PACKAGE, "read_layout"), {"schema": schema, "home": home})).fetchall()
    return [
        Relation(place, name, kind, comment, tuple(Column(*each) for each in columns), frozenset(used or ()), is_used)
        for place, name, kind, comment, columns, used, is_used in rows
    ]


async def find_dependents(connection: Connection, schema: str) -> list[str]:
    """Name the views that read from tables or views of *schema*."""
    rows = await (await connection.execute(load(PACKAGE, "find_dependents"), {"schema": schema})).fetchall()
    return [name for (name,) in rows]


def name_home(generation: Generation) -> str:
    """Name the schema of its projection's views."""
    return generation.schema_name.removeprefix("rm_").removesuffix(f"_g{generation.number}")
