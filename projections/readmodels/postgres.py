"""The rows of one generation in PostgreSQL: load what a batch needs, write what it changed, count and digest.

Nothing here commits: rows and checkpoint belong to one transaction, which the caller holds.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncConnection as SqlAlchemyConnection
from sqlalchemy.schema import CreateIndex, CreateTable

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.declaration.projection import Projection
from projections.declaration.table import RefusedValue, Table
from projections.fold.sheet import Sheet
from projections.order.mark import Mark
from projections.readmodels.policies import compose_force, compose_hiding, compose_policies
from projections.readmodels.statements import (
    RANGES,
    Statements,
    compose,
    compose_digest,
    compose_hashes,
    compose_ranges,
    key_arrays,
)
from projections.readmodels.upsert import FEW, Upsert

BELOW = 5_000
"""Rows that a truncate removes at a time."""


class Digest(NamedTuple):
    """How many rows a table has and their order-free digest; equal tables have equal digests."""

    rows: int
    digest: int


class ReadModel:
    """The tables of one generation, by name of its *schema*.

    *trusts*: a row that was looked for and not found is written as a new one, which fails should it be there after all; otherwise it is
    merged.
    """

    def __init__(self, projection: Projection, schema: str) -> None:
        self.projection = projection
        self.schema = schema
        every = [*projection.tables, *projection.marks.values()]
        self._statements: dict[str, Statements] = {each.name: compose(each, schema) for each in every}
        self._types = {each.name: [*map(name_kind, each.sql_types())] for each in every}
        self._upserts: dict[str, Upsert] = {}
        self._keyed: set[str] = set()
        self._staged: set[str] = set()
        self._private = projection.has_personal
        self.trusts = True

    async def load(self, connection: Connection, sheet: Sheet, keys: list[Any]) -> None:
        """Load the rows under *keys* into *sheet*; keys without a row are noted as absent."""
        table, make = sheet.table, sheet.table.row
        await self.require_key(connection, table.name)
        cursor = await connection.execute(self._statements[table.name].load, key_arrays(table, keys))
        sheet.load(keys, [make(*values) for values in await cursor.fetchall()])

    async def write(self, connection: Connection, sheet: Sheet) -> int:
        """Write the changed rows of *sheet* and return how many. Rows the database has not come by COPY alone."""
        if not sheet.pending:
            return 0
        if sheet.table.tenant:
            _check_keys(sheet)
        if sheet.added:
            await self._copy(connection, self._statements[sheet.table.name].copy, sheet.table, sheet.added)
        if sheet.dirty:
            await self._write_changed(connection, sheet)
        return sheet.pending

    async def _write_changed(self, connection: Connection, sheet: Sheet) -> None:
        fresh, known, gone = sheet.changed()
        statements = self._statements[sheet.table.name]
        merged = bool(fresh) and await self._must_merge(connection, sheet, len(fresh) + len(known))
        if merged:
            known = [*known, *fresh]
        if gone or known:
            await self.require_key(connection, sheet.table.name)
        if gone:
            await connection.execute(statements.delete, key_arrays(sheet.table, gone))
        if known:
            await self._merge(connection, sheet.table, known)
        if fresh and not merged:
            await self._copy(connection, statements.copy, sheet.table, fresh)

    async def _must_merge(self, connection: Connection, sheet: Sheet, changed: int) -> bool:
        """Say whether new rows go the way of known ones: all that are so few take one statement, if their table has its key."""
        keyed = not sheet.complete or sheet.table.name in self._keyed
        if keyed and (changed <= FEW or not self.trusts):
            return True
        return sheet.table.tenant is not None and await self._is_guarded(connection, sheet.table)

    async def begin_again(self, connection: Connection) -> None:
        """Let rows be written once more in the same transaction: what was brought in before is forgotten, it is written."""
        for name in self._staged:
            await connection.execute(self._statements[name].unstage)

    def forget(self) -> None:
        """Forget what was brought in and which keys there are: the transaction is over, and so may be its tables and keys."""
        self._staged.clear()
        self._keyed.clear()

    async def _is_guarded(self, connection: Connection, table: Table[Any]) -> bool:
        """Say whether row-level security holds for this session, so that COPY into the table itself is refused."""
        row = await (await connection.execute(self._statements[table.name].is_guarded)).fetchone()
        return bool(row and row[0])

    async def note_lost(self, connection: Connection, generation: int, lost: set[tuple[str, Any]]) -> None:
        """Note the rows, by table and key, that were made from events which had lost personal data; a repetition notes them once."""
        by_table: dict[str, list[Any]] = {}
        for name, key in lost:
            by_table.setdefault(name, []).append(key)
        for table in self.projection.tables:
            if keys := by_table.get(table.name):
                await connection.execute(self._statements[table.name].note_lost, (generation, *key_arrays(table, keys)))

    async def add_keys(self, connection: Connection) -> None:
        """Add the primary keys that a bulk build left out. Safe to repeat."""
        for name in self._statements:
            await self.require_key(connection, name)

    async def drop_keys(self, connection: Connection) -> None:
        """Drop the primary keys of tables that hold no row yet: adding them to full tables is faster than keeping them.

        SQL handlers rely on the keys of their tables, which keep them.
        """
        free = {each.name for each in self.projection.free_tables}
        for name, statements in self._statements.items():
            if name not in free and not (await (await connection.execute(statements.any_row)).fetchone()):
                await connection.execute(statements.drop_key)
                self._keyed.discard(name)

    async def is_empty(self, connection: Connection) -> bool:
        """Say whether no table has a row."""
        for each in self._statements.values():
            if await (await connection.execute(each.any_row)).fetchone():
                return False
        return True

    async def require_key(self, connection: Connection, name: str) -> None:
        """Add the primary key of table *name* unless it is there."""
        if name not in self._keyed:
            statements = self._statements[name]
            if not (await (await connection.execute(statements.find_key)).fetchone()):
                await connection.execute(statements.add_key)
            self._keyed.add(name)

    async def _merge(self, connection: Connection, table: Table[Any], rows: Sequence[Any]) -> None:
        if len(rows) <= FEW:
            values = table.plain_values if self._private else table.values
            upsert = self._upserts.get(table.name) or Upsert(table, self.schema, self._types[table.name])
            self._upserts[table.name] = upsert
            await upsert.write(connection, map(values, rows))
            return
        statements = self._statements[table.name]
        await connection.execute(statements.stage)
        self._staged.add(table.name)
        await self._copy(connection, statements.copy_stage, table, rows)
        await connection.execute(statements.merge)

    async def _copy(self, connection: Connection, statement: sql.Composed, table: Table[Any], rows: Sequence[Any]) -> None:
        values = table.plain_values if self._private else table.values
        async with connection.cursor().copy(statement) as copy:
            copy.set_types(self._types[table.name])
            write = copy.formatter.write_row  # what copy.write_row calls, without a coroutine for each row
            for row in rows:
                if data := write(values(row)):
                    await copy.writer.write(data)

    async def digest(self, connection: Connection, columns: Mapping[str, Sequence[str]] | None = None) -> dict[str, Digest]:
        """Digest the tables that *columns* names, each by those of its columns and in one pass over it; None = all of all."""
        chosen = {each.name: each.columns for each in self.projection.tables} if columns is None else columns
        found: dict[str, Digest] = {}
        for name, names in chosen.items():
            statement = compose_digest(self._declared(name), self.schema, names)
            rows, digest = await (await connection.execute(statement)).fetchone() or (0, 0)
            found[name] = Digest(rows, int(digest))
        return found

    async def digest_ranges(self, connection: Connection, table: str, columns: Sequence[str]) -> dict[int, Digest]:
        """Digest *columns* of *table* by range of keys; a range without a row is left out."""
        cursor = await connection.execute(compose_ranges(self._declared(table), self.schema, columns))
        return {number: Digest(rows, int(digest)) for number, rows, digest in await cursor.fetchall()}

    async def hashes(
        self, connection: Connection, table: str, columns: Sequence[str], ranges: Sequence[int] = range(RANGES)
    ) -> AsyncIterator[tuple[str, int]]:
        """Stream (key as JSON, hash of *columns*) in key order for *ranges* of keys, with constant memory. Needs an open transaction."""
        async with connection.cursor(name=f"hashes_{table}") as cursor:
            cursor.itersize = 10_000
            await cursor.execute(compose_hashes(self._declared(table), self.schema, columns), [list(ranges)])
            async for key, value in cursor:
                yield key, value

    async def below(self, connection: Connection, table: str, floor: Sequence[int]) -> AsyncIterator[list[Mark]]:
        """Stream the marks below *floor* of rows that are there, thousands at a time. Needs an open transaction."""
        async with connection.cursor(name=f"below_{table}"[:63]) as cursor:
            await cursor.execute(self._statements[table].below, list(floor))
            while found := await cursor.fetchmany(BELOW):
                yield [Mark(*values) for values in found]

    async def rows(self, connection: Connection, table: str, keys: list[Any]) -> list[dict[str, Any]]:
        """Give the rows under *keys* as dicts, for people to compare."""
        if not keys:
            return []
        cursor = await connection.execute(self._statements[table].rows, key_arrays(self._declared(table), keys))
        return [found for (found,) in await cursor.fetchall()]

    def _declared(self, table: str) -> Table[Any]:
        return next(each for each in self.projection.tables if each.name == table)


def _check_keys(sheet: Sheet) -> None:
    """Refuse a row that a handler gave another key, hence perhaps another tenant."""
    key_of, rows = sheet.table.key_of, sheet.rows
    for key in sheet.dirty:
        if rows[key] is not None and key_of(rows[key]) != key:
            raise RefusedValue(
                f"a row of {sheet.table.name} came back under key {key_of(rows[key])!r} instead of {key!r}",
                f"a row of {sheet.table.name} came back under another key",
            )


def name_kind(sql_type: str) -> str:
    """Name a column's type as psycopg's registry does: without length or precision, which the table itself checks."""
    kind = re.sub(r"\s*\([^)]*\)", "", sql_type)
    return "bpchar" if kind == "char" else kind


async def create_tables(connection: SqlAlchemyConnection, projection: Projection, schema: str) -> None:
    """Make the schema and its tables with their keys; the other indexes come last, by `create_indexes`. Safe to repeat.

    They belong to the role of projectors, if this login is one: so does whatever else this transaction makes.
    """
    await connection.exec_driver_sql(load("projections", "become_projector"))
    await connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
    translated = await connection.execution_options(schema_translate_map={projection.slug: schema})
    for table in projection.tables:
        await translated.execute(CreateTable(table.table, if_not_exists=True))
        for statement in compose_policies(table, schema):
            await connection.exec_driver_sql(statement.as_string(None))
    for marks in projection.marks.values():
        await translated.execute(CreateTable(marks.table, if_not_exists=True))
        await connection.exec_driver_sql(compose_hiding(marks, schema).as_string(None))
    joined = [each for each in projection.tables if any(each is join.table for join in projection.joins)]
    for table in [*projection.free_tables, *joined]:  # rows are looked up while they are built
        for index in table.indexes:
            await translated.execute(CreateIndex(index, if_not_exists=True))


async def create_indexes(connection: SqlAlchemyConnection, projection: Projection, schema: str) -> None:
    """Build the declared indexes and refresh the planner's statistics. Safe to repeat."""
    translated = await connection.execution_options(schema_translate_map={projection.slug: schema})
    for table in projection.tables:
        for index in table.indexes:
            await translated.execute(CreateIndex(index, if_not_exists=True))
        await connection.exec_driver_sql(f'ANALYZE "{schema}"."{table.name}"')
        if table.tenant:
            await connection.exec_driver_sql(compose_force(table, schema).as_string(None))


async def drop_schema(connection: SqlAlchemyConnection, schema: str) -> None:
    """Drop a generation's tables. Safe to repeat."""
    await connection.execute(sa.schema.DropSchema(schema, cascade=True, if_exists=True))
