"""The SQL that depends on a table's columns, composed once per table and generation.

Everything else of the projections' SQL lies in `.sql` files; here names and column lists vary, so psycopg's `sql` composes and
quotes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from projections.declaration.table import Table

RANGES = 256
"""Ranges of keys that a table is compared by when its digest differs, a power of two: only those that differ are read row by row."""


@dataclass(frozen=True, slots=True)
class Statements:
    """All statements of one table in one schema.

    *load* takes one array per key column; *stage*, *copy_stage* and *merge* bring in changed rows, *unstage* forgets what was brought;
    *copy* adds rows known to be new; *delete* takes one array per key column; *below* streams marks that stand below a place, and is for
    tables of marks alone.
    """

    load: sql.Composed
    stage: sql.Composed
    unstage: sql.Composed
    copy_stage: sql.Composed
    merge: sql.Composed
    copy: sql.Composed
    delete: sql.Composed
    rows: sql.Composed
    any_row: sql.Composed
    find_key: sql.Composed
    add_key: sql.Composed
    drop_key: sql.Composed
    note_lost: sql.Composed
    below: sql.Composed
    is_guarded: sql.Composed


def compose(table: Table[Any], schema: str) -> Statements:
    """Compose the statements of *table* in *schema*."""
    target = sql.Identifier(schema, table.name)
    stage = sql.Identifier(_name_stage(schema, table.name))
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    keys = sql.SQL(", ").join(map(sql.Identifier, table.key))
    picked = sql.SQL("unnest({arrays}) AS picked({keys})").format(arrays=_arrays(table), keys=keys)
    return Statements(
        load=sql.SQL("SELECT {columns} FROM {target} JOIN {picked} USING ({keys})").format(
            columns=columns, target=target, picked=picked, keys=keys
        ),
        stage=sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {stage} (LIKE {target}) ON COMMIT DELETE ROWS").format(
            stage=stage, target=target
        ),
        unstage=sql.SQL("DELETE FROM {stage}").format(stage=stage),
        copy_stage=sql.SQL("COPY {stage} ({columns}) FROM STDIN").format(stage=stage, columns=columns),
        merge=_merge(table, target, stage, columns, keys),
        copy=sql.SQL("COPY {target} ({columns}) FROM STDIN").format(target=target, columns=columns),
        delete=sql.SQL("DELETE FROM {target} USING {picked} WHERE {match}").format(
            target=target, picked=picked, match=_match(table, target)
        ),
        any_row=sql.SQL("SELECT 1 FROM {target} LIMIT 1").format(target=target),
        find_key=sql.SQL("SELECT 1 FROM pg_constraint WHERE contype = 'p' AND conrelid = {}::regclass").format(
            sql.Literal(target.as_string(None))
        ),
        add_key=sql.SQL("ALTER TABLE {target} ADD PRIMARY KEY ({keys})").format(target=target, keys=keys),
        drop_key=sql.SQL("ALTER TABLE {target} DROP CONSTRAINT IF EXISTS {name}").format(
            target=target, name=sql.Identifier(f"{table.name}_pkey")
        ),
        is_guarded=sql.SQL("SELECT row_security_active({})").format(sql.Literal(target.as_string(None))),
        below=sql.SQL(
            "SELECT {columns} FROM {target} WHERE alive AND (epoch, commit, event, rank) < (%s, %s, %s, %s) ORDER BY {keys}"
        ).format(columns=columns, target=target, keys=keys),
        note_lost=sql.SQL(
            "INSERT INTO projections.redacted (generation, table_name, key) "
            "SELECT %s, {name}, jsonb_build_array({keys})::text FROM {picked} ON CONFLICT DO NOTHING"
        ).format(name=sql.Literal(table.name), keys=keys, picked=picked),
        rows=sql.SQL("SELECT row_to_json(found) FROM {target} AS found JOIN {picked} USING ({keys})").format(
            target=target, picked=picked, keys=keys
        ),
    )


def compose_digest(table: Table[Any], schema: str, columns: Sequence[str]) -> sql.Composed:
    """Compose the row count of *table* and an order-free digest of what its rows hold in *columns*."""
    return sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(ROW({columns})::text, 0)::numeric), 0) FROM {target}").format(
        columns=_list_names(columns), target=sql.Identifier(schema, table.name)
    )


def compose_ranges(table: Table[Any], schema: str, columns: Sequence[str]) -> sql.Composed:
    """Compose the same digest for each of the `RANGES` of keys that has rows."""
    return sql.SQL(
        "SELECT {range} AS r, count(*), sum(hashtextextended(ROW({columns})::text, 0)::numeric) FROM {target} GROUP BY r"
    ).format(range=_range(table), columns=_list_names(columns), target=sql.Identifier(schema, table.name))


def compose_hashes(table: Table[Any], schema: str, columns: Sequence[str]) -> sql.Composed:
    """Compose a stream of keys and hashes of what the rows of *table* hold in *columns*, in key order, for an array of ranges."""
    return sql.SQL(
        'SELECT jsonb_build_array({keys})::text COLLATE "C" AS k, hashtextextended(ROW({columns})::text, 0) FROM {target} '
        "WHERE {range} = ANY(%s) ORDER BY k"
    ).format(
        keys=_list_names(table.key),
        columns=_list_names(columns),
        target=sql.Identifier(schema, table.name),
        range=_range(table),
    )


def _range(table: Table[Any]) -> sql.Composed:
    """Compose the number of the range that a row's key falls into, which spreads keys evenly whatever they are."""
    keys = _list_names(table.key)
    return sql.SQL("(hashtextextended(jsonb_build_array({keys})::text, 0) & {last})").format(keys=keys, last=RANGES - 1)


def _list_names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _name_stage(schema: str, table: str) -> str:
    """Name the stage by a digest, because PostgreSQL cuts names after 63 bytes and two tables must never share one."""
    return f"stage_{hashlib.sha256(f'{schema}.{table}'.encode()).hexdigest()[:24]}"


def key_arrays(table: Table[Any], keys: list[Any]) -> list[list[Any]]:
    """Turn row keys into one array per key column, as *load* and *delete* take them."""
    return [keys] if table.has_single_key else [list(each) for each in zip(*keys, strict=True)]


def _arrays(table: Table[Any]) -> sql.Composed:
    types = dict(zip(table.columns, table.sql_types(), strict=True))
    return sql.SQL(", ").join(sql.SQL("%s::{}[]").format(sql.SQL(types[each])) for each in table.key)  # pyright: ignore[reportArgumentType]


def _match(table: Table[Any], target: sql.Identifier) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("{target}.{key} = picked.{key}").format(target=target, key=sql.Identifier(each)) for each in table.key
    )


def _merge(
    table: Table[Any], target: sql.Identifier, stage: sql.Identifier, columns: sql.Composed, keys: sql.Composed
) -> sql.Composed:
    rest = [each for each in table.columns if each not in table.key]
    sets = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(each)) for each in rest)
    action = sql.SQL("DO UPDATE SET {}").format(sets) if rest else sql.SQL("DO NOTHING")
    return sql.SQL("INSERT INTO {target} ({columns}) SELECT {columns} FROM {stage} ON CONFLICT ({keys}) {action}").format(
        target=target, columns=columns, stage=stage, keys=keys, action=action
    )
