"""The SQL of a copy in another database, composed once per copy: the names of schemas and tables vary."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from projections.copies.contract import Address
from projections.declaration.table import snake

WHOLE = ""
"""The topic of the row that is about the copy itself; its offset is 1 once it is filled."""


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements on the copy's rows and on its checkpoint, `copy:<table>` in the same schema."""

    find: sql.Composed
    make_schema: sql.Composed
    make_checkpoint: sql.Composed
    make_whole: sql.Composed
    lock_whole: sql.Composed
    share_whole: sql.Composed
    claim: sql.Composed
    fences: sql.Composed
    advance: sql.Composed
    settle: sql.Composed
    mark_filling: sql.Composed
    mark_filled: sql.Composed
    read: sql.Composed
    empty: sql.Composed
    count: sql.Composed
    drop_rows: sql.Composed
    make_home: sql.Composed
    make_pointer: sql.Composed
    move_pointer: sql.Composed
    read_pointer: sql.Composed
    drop_view: sql.Composed
    make_view: sql.Composed
    hide_rows: sql.Composed
    find_tenant: sql.Composed
    make_tenants: sql.Composed


def name_tenant(address: Address, column: str) -> sql.Composed:
    """Compose what notes at the copy's rows which *column* says whose a row is, for who makes the view without the declaration."""
    rows = sql.Identifier(name_schema(address), address.table)
    return sql.SQL("COMMENT ON TABLE {} IS {}").format(rows, sql.Literal(f"tenant: {column}"))


def make_guarded_view(address: Address, column: str) -> sql.Composed:
    """Compose the view of a table with tenants: each role sees the rows of its tenant, by `tenant_role`, `*` being all; others none."""
    home = snake(address.projection)
    return sql.SQL(
        "CREATE VIEW {view} WITH (security_barrier) AS SELECT r.* FROM {rows} AS r "
        "WHERE EXISTS (SELECT FROM {tenants} AS t WHERE t.role = current_user AND t.tenant IN (r.{column}::text, '*'))"
    ).format(
        view=sql.Identifier(home, address.table),
        rows=sql.Identifier(name_schema(address), address.table),
        tenants=sql.Identifier(home, "tenant_role"),
        column=sql.Identifier(column),
    )


def compose(address: Address) -> Statements:
    """Compose the statements of the copy at *address*."""
    schema, home = name_schema(address), snake(address.projection)
    names = {
        "schema": sql.Identifier(schema),
        "rows": sql.Identifier(schema, address.table),
        "checkpoint": sql.Identifier(schema, f"copy:{address.table}"),
        "home": sql.Identifier(home),
        "view": sql.Identifier(home, address.table),
        "pointer": sql.Identifier(home, f"live:{address.table}"),
        "found": sql.Literal(sql.Identifier(schema, f"copy:{address.table}").as_string(None)),
        "pointed": sql.Literal(sql.Identifier(home, f"live:{address.table}").as_string(None)),
        "whole": sql.Literal(WHOLE),
        "tenants": sql.Identifier(home, "tenant_role"),
        "rows_name": sql.Literal(sql.Identifier(schema, address.table).as_string(None)),
    }
    return Statements(**{name: sql.SQL(text).format(**names) for name, text in _TEXTS.items()})  # pyright: ignore[reportArgumentType]


def name_schema(address: Address) -> str:
    """Name the schema of the copies of a generation."""
    return f"copy_{snake(address.projection)}_g{address.number}"


_TEXTS = {
    "find": "SELECT to_regclass({found}) IS NOT NULL, to_regclass({pointed}) IS NOT NULL",
    "make_schema": "CREATE SCHEMA IF NOT EXISTS {schema}",
    "make_checkpoint": "CREATE TABLE IF NOT EXISTS {checkpoint} (topic text, partition integer, epoch bigint, next_offset bigint, "
    "mark text, ticket text, PRIMARY KEY (topic, partition))",
    "make_whole": "INSERT INTO {checkpoint} VALUES ({whole}, 0, 0, 0, %s, NULL) ON CONFLICT DO NOTHING",
    "lock_whole": "SELECT mark, next_offset = 1, ticket FROM {checkpoint} WHERE topic = {whole} FOR UPDATE",
    "share_whole": "SELECT mark, next_offset = 1, ticket FROM {checkpoint} WHERE topic = {whole} FOR SHARE",
    "claim": "INSERT INTO {checkpoint} AS known SELECT t, p, e, 0 FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS w(t, p, e) "
    "ON CONFLICT (topic, partition) DO UPDATE SET epoch = excluded.epoch WHERE known.epoch <= excluded.epoch",
    "fences": "SELECT topic, partition, epoch, next_offset FROM {checkpoint} WHERE topic <> {whole} ORDER BY topic, partition FOR UPDATE",
    "advance": "UPDATE {checkpoint} AS c SET next_offset = n FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS w(t, p, n) "
    "WHERE topic = t AND partition = p",
    "settle": "INSERT INTO {checkpoint} SELECT t, p, 0, n FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS w(t, p, n) "
    "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
    "mark_filling": "UPDATE {checkpoint} SET next_offset = 0, ticket = %s WHERE topic = {whole}",
    "mark_filled": "UPDATE {checkpoint} SET next_offset = 1, ticket = NULL WHERE topic = {whole}",
    "read": "SELECT topic, partition, next_offset, mark FROM {checkpoint}",
    "empty": "TRUNCATE {rows}",
    "count": "SELECT count(*) FROM {rows}",
    "drop_rows": "DROP TABLE IF EXISTS {rows}, {checkpoint} CASCADE",
    "make_home": "CREATE SCHEMA IF NOT EXISTS {home}",
    "make_pointer": "CREATE TABLE IF NOT EXISTS {pointer} (one boolean PRIMARY KEY DEFAULT true CHECK (one), turn bigint, number integer)",
    "move_pointer": "INSERT INTO {pointer} AS p (turn, number) VALUES (%s, %s) ON CONFLICT (one) "
    "DO UPDATE SET turn = excluded.turn, number = excluded.number WHERE p.turn <= excluded.turn",
    "read_pointer": "SELECT number FROM {pointer}",
    "drop_view": "DROP VIEW IF EXISTS {view}",
    "make_view": "CREATE VIEW {view} AS SELECT * FROM {rows}",
    "hide_rows": "ALTER TABLE {rows} ENABLE ROW LEVEL SECURITY",
    "find_tenant": "SELECT substr(obj_description({rows_name}::regclass, 'pg_class'), 9)",
    "make_tenants": "CREATE TABLE IF NOT EXISTS {tenants} (role name PRIMARY KEY, tenant text NOT NULL)",
}
