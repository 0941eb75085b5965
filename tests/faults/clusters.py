"""PostgreSQL servers of a test's own, which it may crash, dump, copy and restore."""

import asyncio
import copy
import dataclasses
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from compose.identity import choose_identity
from compose.postgres import find_binaries
from compose.process import Launch
from compose.stack import Stack
from eventstore import PostgresSettings
from eventstore.postgres import PostgresEventStore, migrate, open_engine
from tests.stack.plugin import own_settings

QUICK = {"shared_buffers": "32MB", "max_connections": "100"}


class Cluster:
    """One PostgreSQL with data of its own. Make one with `start`."""

    def __init__(self, directory: Path, **options: str) -> None:
        self.stack = Stack(own_settings(directory, postgres_options={**QUICK, **options}), print)
        self.dsn = ""

    @classmethod
    async def start(cls, directory: Path, **options: str) -> Self:
        """Make a cluster in *directory* and start it, with *options* for postgresql.conf."""
        cluster = cls(directory, **options)
        await cluster.up()
        return cluster

    async def up(self, *wrap: str) -> None:
        """Start the server, again if it was stopped, under the address that it had; *wrap* is a command around its own."""
        self.stack.state.make()
        server = self.stack.server("postgres")
        prepare = server.prepare

        def prepared() -> Launch:
            launch = prepare()
            return dataclasses.replace(launch, command=(*wrap, *launch.command))

        server.prepare = prepared
        await asyncio.to_thread(server.start)
        self.dsn = server.address

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.stack.server("postgres")._home(choose_identity("auto")) / "postgres"

    @property
    def runs(self) -> bool:
        """Whether the server's process is there."""
        return self.stack.server("postgres").child.process() is not None

    async def stop(self, how: signal.Signals) -> None:
        """Stop by a signal: SIGQUIT is the immediate shutdown (a crash), SIGINT the fast one, SIGKILL no shutdown at all."""
        process = self.stack.server("postgres").child.process()
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(how)
                await asyncio.to_thread(process.wait, 60)

    def log(self) -> str:
        """Give what the server has said so far."""
        return self.stack.server("postgres").child.log.read_text("utf-8", "replace")

    async def end(self) -> None:
        """End the server and delete its data."""
        await asyncio.to_thread(self.stack.down, wipe=True)

    @property
    def settings(self) -> PostgresSettings:
        """How to connect."""
        return PostgresSettings(dsn=SecretStr(self.dsn), pool_size=40)

    def database(self, name: str, template: str = "template1") -> "Cluster":
        """Make database *name*, and give this cluster as seen from there."""
        with psycopg.connect(self.dsn_of("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        there = copy.copy(self)
        there.dsn = self.dsn_of(name)
        return there

    def dsn_of(self, database: str) -> str:
        """Name the DSN of one of its databases."""
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{database}"))

    def query(self, statement: str, *values: object) -> list[tuple]:
        """Run one statement and give its rows."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def burn(self, transactions: int) -> None:
        """Use up as many transaction ids as a busy server would in a while."""
        self.query(f"DO $$ BEGIN FOR i IN 1..{transactions} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")

    @asynccontextmanager
    async def engine(self, settings: PostgresSettings | None = None) -> AsyncIterator[AsyncEngine]:
        """Open an engine."""
        engine = open_engine(settings or self.settings, application="test")
        try:
            yield engine
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def store(self, settings: PostgresSettings | None = None) -> AsyncIterator[PostgresEventStore]:
        """Open its store, migrated unless a restore made it."""
        chosen = settings or self.settings
        async with self.engine(chosen) as engine:
            await migrate.migrate(engine)
            async with PostgresEventStore.open(chosen, engine=engine) as store:
                yield store

    def copy_to(self, other: "Cluster") -> None:
        """Copy the files of the running server to *other*, as a replica or a backup of the volume would have them."""
        other.stack.state.make()
        shutil.copy(self.stack.state.directory / "password", other.stack.state.directory)
        run("pg_basebackup", "-d", self.dsn, "-D", str(other.data), "-X", "stream", "-c", "fast")

    def follow(self, primary: "Cluster", slot: str) -> None:
        """Become a standby of *primary*, which keeps its log for it in the physical slot *slot*; start it with `up`."""
        self.stack.state.make()
        shutil.copy(primary.stack.state.directory / "password", self.stack.state.directory)
        run("pg_basebackup", "-d", primary.dsn, "-D", str(self.data), "-X", "stream", "-c", "fast", "-R", "-C", "-S", slot)


def run(program: str, *arguments: str) -> str:
    """Run one of PostgreSQL's programs as the server's user, and give what it prints."""
    command = [*choose_identity("auto").prefix, str(find_binaries() / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
    return done.stdout
