"""The operations database: ordinary tables that another department owns, updates and deletes from. Debezium captures them.

Nothing here knows about events or projections. `create` makes the database and fills it by COPY, `drop` removes it, `changes`
gives the updates, inserts and deletes that the demo makes while it runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from eventstore.settings import PostgresSettings
from examples.flights.data import records

HERE = Path(__file__).parent
TABLES = ("airlines", "airports", "planes", "weather")
_NOT_STORED = ("year", "month", "day", "hour")
"""Columns of the weather file that `time_hour` says again."""


class Change(NamedTuple):
    """One statement that the operations department runs, and what it is for."""

    why: str
    statement: str


def dsn_of(database: str) -> str:
    """Give the address of *database* on the server of REFOLD_POSTGRES_DSN."""
    return urlsplit(PostgresSettings().dsn.get_secret_value())._replace(path=f"/{database}").geturl()


def operations_dsn() -> str:
    """Give the address of the operations database. Env FLIGHTS_OPERATIONS_DSN, else `operations` on the store's server."""
    return os.environ.get("FLIGHTS_OPERATIONS_DSN") or dsn_of("operations")


def connector_environment(dsn: str, folder: Path) -> dict[str, str]:
    """Give the variables that `connector.toml` asks for; the password goes to a file in *folder*, for the Connect worker."""
    file = folder / "operations-password"
    file.touch(mode=0o600)
    file.write_text(unquote(urlsplit(dsn).password or ""), encoding="utf-8")
    return {"FLIGHTS_OPERATIONS_DSN": dsn, "FLIGHTS_OPERATIONS_PASSWORD_FILE": str(file.absolute())}


def create(dsn: str, tables: Sequence[str] = TABLES) -> None:
    """Make the database behind *dsn*, *tables* and their rows, whatever of them is missing: doing it twice changes nothing."""
    with _server(dsn) as server:
        if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_name(dsn)]).fetchone() is None:
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_name(dsn))))
    with psycopg.connect(dsn) as connection:
        for table in tables:
            if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
                connection.execute((HERE / "tables" / f"{table}.sql").read_bytes())
                _load(connection, table)


def drop(dsn: str) -> None:
    """Drop the database behind *dsn* and the replication slots in it, which would keep the server's log for ever."""
    with _server(dsn) as server:
        server.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s AND NOT active",
            [_name(dsn)],
        )
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(_name(dsn))))


def changes() -> list[Change]:
    """Give the demo's changes, in order."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((HERE / "changes").glob("*.sql"))]
    return [Change(text.partition("\n")[0].removeprefix("-- "), text) for text in texts]


def apply(dsn: str, change: Change) -> int:
    """Run *change* in a transaction of its own and give the number of rows it touched."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(change.statement.encode()).rowcount


def _load(connection: psycopg.Connection, table: str) -> None:
    skipped = range(1, 1 + len(_NOT_STORED)) if table == "weather" else ()
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))) as copy:
        for row in records(table):
            copy.write_row([value for column, value in enumerate(row) if column not in skipped])


def _server(dsn: str) -> psycopg.Connection:
    return psycopg.connect(urlsplit(dsn)._replace(path="/postgres").geturl(), autocommit=True)


def _name(dsn: str) -> str:
    return urlsplit(dsn).path.lstrip("/")
