"""Which rows of a table statements touched: triggers note their keys beside it, in the same transaction.

A fold knows its rows; of an SQL handler nobody knows, for a statement may reach any row by any condition. So PostgreSQL is asked, once a
statement and for whole sets of rows (transition tables), which costs a second insert of the key alone. Whoever needs the keys takes them
out before it commits: what a transaction touched and what it took are one, and nothing is left behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, LiteralString

from psycopg import sql

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.declaration.table import Table

PACKAGE = "projections"
_FUNCTION = sql.SQL(
    "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $note$ BEGIN "
    "IF TG_OP <> 'DELETE' THEN INSERT INTO {notes} SELECT {keys} FROM new_rows; END IF; "
    "IF TG_OP <> 'INSERT' THEN INSERT INTO {notes} SELECT {keys} FROM old_rows; END IF; "
    "RETURN NULL; END $note$"
)
_TRIGGER = sql.SQL(
    "CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {target} REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
)
_EVENTS: Mapping[LiteralString, sql.SQL] = {
    "INSERT": sql.SQL("NEW TABLE AS new_rows"),
    "UPDATE": sql.SQL("OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    "DELETE": sql.SQL("OLD TABLE AS old_rows"),
}


def name_notes(table: str) -> str:
    """Name the place of a table's notes by a digest, because PostgreSQL cuts names after 63 bytes."""
    return f"touched_{hashlib.sha256(table.encode()).hexdigest()[:24]}"


def compose_trace(table: Table[Any], schema: str) -> list[sql.Composed]:
    """Compose what makes PostgreSQL note the touched rows of *table* in *schema*. Safe to repeat."""
    target, notes = sql.Identifier(schema, table.name), sql.Identifier(schema, name_notes(table.name))
    function = sql.Identifier(schema, f"note_{name_notes(table.name)}")
    keys = sql.SQL(", ").join(map(sql.Identifier, table.key))
    made = [
        sql.SQL("CREATE UNLOGGED TABLE IF NOT EXISTS {} AS SELECT {} FROM {} WITH NO DATA").format(notes, keys, target)
        if schema[:7] != "pg_temp"
        else sql.SQL("CREATE TEMP TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
            sql.Identifier(name_notes(table.name)), keys, target
        ),
        sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(notes),  # no policy: nobody but the owner's role sees a key
        _FUNCTION.format(function=function, notes=notes, keys=keys),
    ]
    for event, rows in _EVENTS.items():
        name = sql.Identifier(f"note_{event.lower()}")
        made.append(_TRIGGER.format(name=name, event=sql.SQL(event), target=target, rows=rows, function=function))
    return made


async def has_trace(connection: Connection, table: Table[Any], schema: str) -> bool:
    """Say whether PostgreSQL notes the touched rows of *table* in *schema*."""
    values = {"schema": schema, "name": name_notes(table.name)}
    return bool(await (await connection.execute(load(PACKAGE, "find_relation"), values)).fetchone())


async def lay_trace(connection: Connection, table: Table[Any], schema: str) -> None:
    """Have PostgreSQL note the touched rows of *table* in *schema* from this transaction on. Safe to repeat."""
    if not await has_trace(connection, table, schema):
        await connection.execute(load(PACKAGE, "become_projector"))
        for statement in compose_trace(table, schema):
            await connection.execute(statement)
        await connection.execute(load(PACKAGE, "become_oneself"))


async def take_touched(connection: Connection, table: Table[Any], schema: str) -> set[Any]:
    """Give the keys of the rows of *table* that this transaction touched since it was asked last, and forget them."""
    keys = sql.SQL(", ").join(map(sql.Identifier, table.key))
    notes = sql.Identifier(schema, name_notes(table.name))
    found = await (await connection.execute(sql.SQL("DELETE FROM {} RETURNING {}").format(notes, keys))).fetchall()
    return {key for (key,) in found} if table.has_single_key else set(found)
