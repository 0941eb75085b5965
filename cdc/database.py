"""The captured database, through SQL: what is there, the publication, the slot, the kick.

Everything is one statement of `cdc/sql`. Raises Unreachable when the server does not answer, PreconditionFailed with
PostgreSQL's own words when it refuses a statement.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString, cast

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from cdc.check import Facts
from eventstore.errors import PreconditionFailed, RefoldError, Unreachable
from eventstore.postgres.engine import checkout, open_engine
from eventstore.postgres.statements import load
from eventstore.settings import PostgresSettings


@asynccontextmanager
async def open_database(dsn: str) -> AsyncGenerator[SourceDatabase]:
    """Open the database at *dsn* with one connection."""
    settings = PostgresSettings(dsn=SecretStr(dsn), pool_size=1, connect_timeout_s=5)
    engine = open_engine(settings, application="refold cdc")
    try:
        yield SourceDatabase(engine, settings.address)
    finally:
        await engine.dispose()


class SourceDatabase:
    """One source database."""

    def __init__(self, engine: AsyncEngine, address: str) -> None:
        self._engine = engine
        self.address = address

    async def read_server(self, role: str) -> Facts:
        """Give the settings that logical decoding needs, and what *role* may."""
        return (await self.ask("server", role=role))[0]

    async def list_tables(self) -> list[str]:
        """Give every table of the database as `schema.table`."""
        return [row["name"] for row in await self.ask("all_tables")]

    async def read_tables(self, tables: Sequence[str], role: str) -> list[Facts]:
        """Give the facts of each wanted table, also of those that do not exist."""
        return await self.ask("tables", tables=list(tables), role=role)

    async def read_columns(self, tables: Sequence[str]) -> list[Facts]:
        """Give each column with the reason why its values may not arrive, None for nearly all."""
        return await self.ask("risky_columns", tables=list(tables))

    async def read_publication(self, publication: str) -> Facts | None:
        """Give what the publication holds, None when there is none."""
        return next(iter(await self.ask("publication", publication=publication)), None)

    async def read_slot(self, slot: str) -> Facts | None:
        """Give the slot's state, None when there is none."""
        return next(iter(await self.ask("slot", slot=slot)), None)

    async def read_signals(self, table: str, role: str) -> Facts:
        """Tell whether the signal table is there, has its columns, and may be written by *role*."""
        return (await self.ask("signals", table=table, role=role))[0]

    async def write_signal(self, table: str, identity: str, kind: str, data: str) -> None:
        """Insert a row that the connector reads as a signal."""
        rows = await self.ask("write_signal", table=table, id=identity, kind=kind, data=data)
        await self.execute(str(rows[0]["statement"]))

    async def ask(self, statement: str, **values: Any) -> list[Facts]:
        """Run the statement of that name in `cdc/sql` and give its rows."""
        return await self._run(load("cdc", statement), values)

    async def measure_rows(self, tables: Sequence[str]) -> dict[str, int]:
        """Give the bytes of the largest of some hundred rows of each table, as text."""
        rows = await self.ask("largest_rows", tables=list(tables))
        text = rows[0]["statement"]
        return {} if text is None else {row["name"]: int(row["largest"] or 0) for row in await self._run(text, None)}

    async def rehearse(self, statement: str) -> str:
        """Run *statement* in a transaction that is rolled back; give PostgreSQL's words when it refuses, else nothing."""
        try:
            await self.execute(f"BEGIN; {statement}; ROLLBACK")
        except PreconditionFailed as error:
            return str(error)
        return ""

    async def execute(self, statement: str) -> None:
        """Run what a plan or a finding shows: one statement, or several divided by semicolons, as one transaction."""
        await self._run(cast("LiteralString", statement), None)

    async def drop_publication(self, publication: str) -> bool:
        """Drop the publication; False when there was none."""
        there = await self.read_publication(publication) is not None
        rows = await self.ask("drop_publication", publication=publication)
        await self.execute(str(rows[0]["statement"]))
        return there

    async def drop_slot(self, slot: str) -> bool:
        """Drop the slot if nobody reads it; False when there is none, or someone does."""
        return bool(await self.ask("drop_slot", slot=slot))

    async def kick(self, prefix: str, content: str) -> int:
        """Write a transactional message into the WAL and give its position."""
        rows = await self.ask("kick", prefix=prefix, content=content)
        return int(next(iter(rows[0].values())))

    async def _run(self, statement: LiteralString, values: dict[str, Any] | None) -> list[Facts]:
        try:
            async with checkout(self._engine) as connection:
                cursor = await connection.execute(statement, values)
                if cursor.description is None:
                    return []
                names = [column.name for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
        except Unreachable as error:
            raise Unreachable(
                f"the source database at {self.address} does not let us in: {error.__cause__ or error}. Start it, or correct the dsn.",
                address=self.address,
            ) from error
        except RefoldError:
            raise
        except Exception as error:
            state = getattr(error, "sqlstate", None)
            if state is None or state[:2] == "08" or state[:3] == "57P":
                raise Unreachable(f"the source database at {self.address} went away: {error}") from error
            raise PreconditionFailed(f"the source database refused: {error}", sqlstate=state) from error
