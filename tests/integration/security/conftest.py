"""Databases with every duty settled, and a login of each."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres import migrate, open_engine
from eventstore.postgres.roles import settle_roles
from eventstore.settings import PostgresSettings
from tests.integration.security.wires import Wires, make_wires
from tests.stack.databases import Databases

DUTIES = ("owner", "writer", "relay", "projector", "reader")
Login = Callable[[str], str]
Connect = Callable[[str], AbstractAsyncContextManager[psycopg.AsyncConnection[tuple[object, ...]]]]


def run(work: Callable[[AsyncEngine], object], dsn: str) -> None:
    async def go() -> None:
        engine = open_engine(PostgresSettings(dsn=SecretStr(dsn)))
        await work(engine)  # type: ignore[misc]
        await engine.dispose()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(go())


@pytest.fixture(scope="session")
def postgres_template(databases: Databases) -> str:
    """A migrated database, which each test's own one copies."""
    return databases.make_template(f"template_security_{os.getpid()}", lambda dsn: run(migrate.migrate, dsn))


@pytest.fixture(scope="session")
def wires(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wires]:
    """Servers that insist on TLS and logins; one pair a session."""
    wires = make_wires(tmp_path_factory.mktemp("wires"))
    yield wires
    wires.end()


@pytest.fixture
def settled_dsn(postgres_dsn: str) -> str:
    """A database with the grants that a copy does not inherit: those on the database itself."""
    run(settle_roles, postgres_dsn)
    return postgres_dsn


@pytest.fixture
def login(settled_dsn: str) -> Iterator[Login]:
    """Gives the DSN of a new login that has one duty, or none."""
    made: list[str] = []
    with psycopg.connect(settled_dsn, autocommit=True) as connection:

        def make(duty: str) -> str:
            name, secret = f"t_{duty or 'nobody'}_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
            options = sql.SQL("IN ROLE {}").format(sql.Identifier(f"refold_{duty}")) if duty else sql.SQL("")
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} {}").format(sql.Identifier(name), sql.Literal(secret), options)
            )
            made.append(name)
            parts = urlsplit(settled_dsn)
            return urlunsplit(parts._replace(netloc=f"{name}:{secret}@{parts.netloc.rpartition('@')[2]}"))

        yield make
        for name in made:
            connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
async def engine(settled_dsn: str) -> AsyncIterator[AsyncEngine]:
    """An engine of the server's administrator."""
    engine = open_engine(PostgresSettings(dsn=SecretStr(settled_dsn)), application="test")
    yield engine
    await engine.dispose()
