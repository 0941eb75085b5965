"""Making and settling roles: by whom it may, for several databases at once, and back."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

import eventstore.cli
from eventstore import PostgresSettings, RawEvent
from eventstore.errors import PreconditionFailed
from eventstore.postgres import PostgresEventStore, checkout, migrate, open_engine
from eventstore.postgres.roles import read_duties, script, settle_roles
from projections.feeding.supervisor import make_live
from projections.readmodels.postgres import create_tables
from projections.readmodels.views import create_views
from tests.bank.release1 import bank
from tests.integration.security.conftest import DUTIES
from tests.stack.databases import Databases

Fresh = Callable[..., Awaitable[AsyncEngine]]
KNOWN = "SELECT count(*) FROM pg_roles WHERE rolname LIKE %s"


@pytest.fixture
async def prefix(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A prefix of roles that no other test knows; the roles are gone afterwards."""
    name = f"t{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("REFOLD_POSTGRES_ROLE_PREFIX", name)
    yield name
    for duty in DUTIES:
        databases._run("DROP ROLE IF EXISTS {}", f"{name}_{duty}")


@pytest.fixture
async def fresh(databases: Databases, prefix: str) -> AsyncIterator[Fresh]:
    """Makes empty databases, each with an engine for an administrator or for a login of few rights that owns it."""
    made: list[tuple[str, AsyncEngine]] = []
    logins: list[str] = []

    async def make(attributes: str | None = None) -> AsyncEngine:
        name = f"test_{uuid.uuid4().hex[:12]}"
        dsn = databases.create(name)
        if attributes is not None:
            user, secret = f"t_migrator_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
            databases._connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} " + attributes).format(sql.Identifier(user), sql.Literal(secret))
            )
            databases._run("ALTER DATABASE {} OWNER TO {}", name, user)
            logins.append(user)
            parts = urlsplit(dsn)
            dsn = urlunsplit(parts._replace(netloc=f"{user}:{secret}@{parts.netloc.rpartition('@')[2]}"))
        made.append((name, open_engine(PostgresSettings(dsn=SecretStr(dsn)))))
        return made[-1][1]

    yield make
    for name, engine in made:
        await engine.dispose()
        databases.drop(name)
    for duty in DUTIES:
        with suppress(psycopg.Error):  # what remains for another database is dropped with it
            databases._run("DROP ROLE IF EXISTS {}", f"{prefix}_{duty}")
    for user in logins:
        databases._run("DROP ROLE {}", user)


async def known(engine: AsyncEngine, prefix: str) -> int:
    async with checkout(engine) as connection:
        row = await (await connection.execute(KNOWN, (f"{prefix}\\_%",))).fetchone()
    return row[0] if row else 0


async def find_dsn(engine: AsyncEngine) -> str:
    async with checkout(engine) as connection:
        return f"{connection.info.dsn} password={connection.info.password}"


def faults(duties: list[object]) -> list[str]:
    return [str(each) for each in duties if not each.exists or each.missing or each.excess]  # type: ignore[attr-defined]


async def test_databases_at_once(fresh: Fresh, prefix: str) -> None:
    """Databases of one server that are migrated at the same moment share the roles, and each settles its own grants."""
    engines = [await fresh() for _ in range(3)]
    program = "import sys; from eventstore.cli import main; sys.exit(main(['migrate']))"
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, env=os.environ | {"REFOLD_POSTGRES_DSN": await find_dsn(each)}
        )
        for each in engines
    ]
    assert [await each.wait() for each in running] == [0, 0, 0]
    assert await known(engines[0], prefix) == len(DUTIES)
    for each in engines:
        assert faults(await read_duties(each)) == []


async def test_going_back_leaves_others(fresh: Fresh, prefix: str) -> None:
    """Taking the schema down in one database takes its grants back, and leaves the roles and another database as they were."""
    gone, kept = await fresh(), await fresh()
    await migrate.migrate(gone)
    await migrate.migrate(kept)
    async with gone.begin() as connection:
        await connection.run_sync(migrate.downgrade, "base")
    assert await known(kept, prefix) == len(DUTIES)
    assert faults(await read_duties(kept)) == []
    async with checkout(gone) as connection:
        left = "SELECT count(*) FROM pg_shdepend AS d JOIN pg_roles AS r ON r.oid = d.refobjid JOIN pg_database AS b ON b.oid = d.dbid "
        found = await connection.execute(left + "WHERE b.datname = current_database() AND r.rolname LIKE %s", (f"{prefix}\\_%",))
        assert await found.fetchone() == (0,)


async def test_login_without_rights(fresh: Fresh, prefix: str, databases: Databases) -> None:
    """Who may not create roles migrates all the same and uses the store alone, until an administrator ran what is printed."""
    engine = await fresh("NOCREATEROLE")
    await migrate.migrate(engine)
    assert await known(engine, prefix) == 0
    async with PostgresEventStore.open(engine=engine) as store:
        await store.append("a", [RawEvent("x", {})])
    with pytest.raises(PreconditionFailed, match="roles --sql"):
        await settle_roles(engine)
    printed = await script(engine)
    with psycopg.connect(databases._dsn, autocommit=True) as administrator:
        administrator.execute(printed)  # type: ignore[arg-type]
    assert faults(await settle_roles(engine)) == []
    async with PostgresEventStore.open(engine=engine) as store:
        assert (await store.append("a", [RawEvent("x", {})])).version == 2
        assert [each.version async for each in store.read_stream("a", decoded=False)] == [1, 2]


async def test_generation_older_than_roles(fresh: Fresh, prefix: str, databases: Databases) -> None:
    """What was made before there were roles goes on: its views still move, readers may read it, and the next one belongs to projectors."""
    engine = await fresh("NOCREATEROLE")
    await migrate.migrate(engine)
    old = await make_live(engine, bank.projection, "old", {"topic": 1}, prefix)
    assert await create_views(engine, bank.projection, old)
    with psycopg.connect(databases._dsn, autocommit=True) as administrator:
        administrator.execute(await script(engine))  # type: ignore[arg-type]
    assert faults(await settle_roles(engine)) == []
    assert await create_views(engine, bank.projection, old)
    async with engine.begin() as connection:
        await create_tables(connection, bank.projection, "rm_bank_g2")
    readable = "SELECT has_table_privilege(%s, %s, 'SELECT'), tableowner FROM pg_tables WHERE schemaname || '.' || tablename = %s"
    async with checkout(engine) as connection:
        owners = []
        for table in (f"{old.schema_name}.balance", "rm_bank_g2.balance"):
            row = await (await connection.execute(readable, (f"{prefix}_reader", table, table))).fetchone()
            assert row is not None
            assert row[0], table
            owners.append(row[1])
        assert owners == [connection.info.user, f"{prefix}_projector"]


async def test_login_that_creates_roles(fresh: Fresh, prefix: str) -> None:
    """A login that may create roles, and nothing more, settles everything while it migrates, and can go back and forth."""
    engine = await fresh("CREATEROLE")
    await migrate.migrate(engine)
    assert faults(await read_duties(engine)) == []
    async with engine.begin() as connection:
        await connection.run_sync(migrate.downgrade, "v0006")
    assert await migrate.migrate(engine) == ("v0006", migrate.head())
    assert faults(await read_duties(engine)) == []


async def test_grants_are_mended(
    fresh: Fresh, prefix: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`eventstore roles` names what differs and exits with 3, and `--apply` mends it."""
    engine = await fresh()
    await migrate.migrate(engine)
    async with checkout(engine) as connection:
        await connection.execute(f"GRANT INSERT ON eventstore.event TO {prefix}_reader")
        await connection.execute(f"REVOKE SELECT ON projections.pointer FROM {prefix}_reader")
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", await find_dsn(engine))
    assert await asyncio.to_thread(eventstore.cli.main, ["roles"]) == 3
    told = capsys.readouterr().out
    assert "may not SELECT table projections.pointer" in told
    assert "may INSERT table eventstore.event, which it should not" in told
    assert await asyncio.to_thread(eventstore.cli.main, ["roles", "--apply"]) == 0
    assert faults(await read_duties(engine)) == []
