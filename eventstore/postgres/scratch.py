"""A database that lives for one measurement or rehearsal."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from eventstore.postgres.engine import checkout, open_engine
from eventstore.postgres.migrate import migrate
from eventstore.postgres.statements import load
from eventstore.settings import PostgresSettings

_HERE = "eventstore.postgres"


@asynccontextmanager
async def make_scratch(settings: PostgresSettings | None = None) -> AsyncGenerator[PostgresSettings]:
    """Give the settings of an empty, migrated database beside the one of *settings*; it is dropped at the end.

    Needs the right to create databases. Raises Unreachable.
    """
    chosen = settings or PostgresSettings()
    name = f"refold_scratch_{uuid.uuid4().hex[:10]}"
    own = chosen.model_copy(update={"dsn": SecretStr(make_conninfo(chosen.dsn.get_secret_value(), dbname=name))})
    await _run(chosen, "create_scratch", name)
    try:
        engine = open_engine(own)
        try:
            await migrate(engine)
        finally:
            await engine.dispose()
        yield own
    finally:
        await _run(chosen, "drop_scratch", name)


async def _run(settings: PostgresSettings, statement: str, name: str) -> None:
    engine = open_engine(settings)
    try:
        async with checkout(engine) as connection:
            await connection.execute(sql.SQL(load(_HERE, statement)).format(name=sql.Identifier(name)))
    finally:
        await engine.dispose()
