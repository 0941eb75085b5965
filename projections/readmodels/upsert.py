"""Writing a few rows that may be there or not: one round trip for all of them, since a live worker's batches are small.

Staging, COPY and merge take four. Values travel as the very texts that COPY would send, an array a column, and PostgreSQL reads them as
it reads COPY: a row has one form, whichever way it came. It is one statement and no pipeline: a session that idles in its transaction
after a pipeline is not ended by `idle_in_transaction_session_timeout` (PostgreSQL 18.4, psycopg 3.3), and a worker that is stopped in
midst must not hold its rows for ever. ADR 0028.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from psycopg import sql
from psycopg.adapt import Transformer
from psycopg.pq import Format

from eventstore.postgres.engine import Connection
from projections.declaration.table import Table

FEW: Final = 200
"""Rows up to which this is faster than COPY and a merge."""


class Upsert:
    """Inserts or replaces rows of *table* in *schema*; *kinds* names its columns' types, without lengths, which the table checks."""

    def __init__(self, table: Table[Any], schema: str, kinds: Sequence[str]) -> None:
        names = [sql.Identifier(each) for each in table.columns]
        rest = [sql.Identifier(each) for each in table.columns if each not in table.key]
        sets = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(each) for each in rest)
        self._kinds = kinds
        self._statement = sql.SQL(
            "INSERT INTO {target} ({columns}) SELECT {values} FROM unnest({arrays}) AS given({columns}) ON CONFLICT ({key}) {action}"
        ).format(
            target=sql.Identifier(schema, table.name),
            columns=sql.SQL(", ").join(names),
            values=sql.SQL(", ").join(map(_cast, names, kinds)),
            arrays=sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(names)),
            key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
            action=sql.SQL("DO UPDATE SET {}").format(sets) if rest else sql.SQL("DO NOTHING"),
        )

    async def write(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
        """Write *rows*, each the values of all columns in their order. Keys may not repeat."""
        transformer: Any = Transformer(connection)
        registry = connection.adapters.types
        transformer.set_dumper_types([registry.get_oid(each) for each in self._kinds], Format.TEXT)
        texts = [_dump(transformer, each) for each in rows]
        await connection.execute(self._statement, [list(each) for each in zip(*texts, strict=True)])


def _cast(name: sql.Identifier, kind: str) -> sql.Composed:
    # the kind is the name of a type in a declaration, never a value
    return sql.SQL("given.{}::{}").format(name, sql.SQL(kind))  # pyright: ignore[reportArgumentType]


def _dump(transformer: Any, values: Sequence[Any]) -> list[str | None]:
    return [None if each is None else bytes(each).decode() for each in transformer.dump_sequence(values, ())]
