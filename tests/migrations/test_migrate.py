"""The schema: up, down, by hand, beside the user's own migrations, by two operators at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import PostgresSettings, RawEvent
from eventstore.errors import MigrationMissing
from eventstore.postgres import PostgresEventStore, checkout, migrate, open_engine

REVISIONS = sorted(each.name[:5] for each in (migrate.migrations_directory() / "versions").glob("v*_*.py"))
SHAPE = """
SELECT table_schema || '.' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
FROM information_schema.columns WHERE table_schema IN ('eventstore', 'projections')
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname IN ('eventstore', 'projections')
UNION ALL SELECT CASE p.prokind WHEN 'a' THEN p.oid::regprocedure::text ELSE pg_get_functiondef(p.oid) END
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('eventstore', 'projections')
UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger AS t WHERE NOT t.tgisinternal
ORDER BY 1
"""


@pytest.fixture
async def engine(postgres_dsn: str) -> AsyncIterator[AsyncEngine]:
    """Give an engine on an empty database."""
    engine = open_engine(PostgresSettings(dsn=SecretStr(postgres_dsn)))
    yield engine
    await engine.dispose()


async def shape(engine: AsyncEngine) -> list[str]:
    """Describe every table, index, function and trigger that we made."""
    async with checkout(engine) as connection:
        return [row[0] for row in await (await connection.execute(SHAPE)).fetchall()]


async def test_up_down_up(engine: AsyncEngine) -> None:
    """Every revision can be taken back from an empty store, and coming up again gives the same schema."""
    assert await migrate.migrate(engine) == (None, REVISIONS[-1])
    full = await shape(engine)
    for revision in [*reversed(REVISIONS[:-1]), "base"]:
        async with engine.begin() as connection:
            await connection.run_sync(migrate.downgrade, revision)
    assert [each for each in await shape(engine) if "eventstore_revision" not in each] == []
    for revision in REVISIONS:
        async with engine.begin() as connection:
            await connection.run_sync(migrate.upgrade, revision)
    assert await shape(engine) == full


async def test_history_is_not_taken_down(engine: AsyncEngine) -> None:
    """Going back below the store's own revision is refused while it holds an event, and leaves everything as it was."""
    await migrate.migrate(engine)
    async with PostgresEventStore.open(engine=engine) as store:
        await store.append("a", [RawEvent("x", {})])
        with pytest.raises(DBAPIError, match="holds events"):
            async with engine.begin() as connection:
                await connection.run_sync(migrate.downgrade, "base")
        assert [each.version async for each in store.read_stream("a", decoded=False)] == [1]


async def test_older_schema_is_named(engine: AsyncEngine) -> None:
    """A store on an older or missing schema does not open, and says what it found, what it needs and what to run."""
    for revision in (None, *REVISIONS[:-1]):
        if revision:
            async with engine.begin() as connection:
                await connection.run_sync(migrate.upgrade, revision)
        with pytest.raises(MigrationMissing, match="run `eventstore migrate`") as refused:
            async with PostgresEventStore.open(engine=engine):
                pass
        assert refused.value.facts == {"have": revision, "needed": REVISIONS[-1]}
        assert refused.value.exit_code == 3


async def test_newer_schema_is_fine(engine: AsyncEngine) -> None:
    """A release runs on a schema that is newer than itself, so that code can be rolled back."""
    await migrate.migrate(engine)
    async with checkout(engine) as connection:
        await connection.execute("UPDATE eventstore.eventstore_revision SET version_num = 'v9999'")
        await migrate.require_current(connection)


async def test_script_does_the_same(engine: AsyncEngine, postgres_dsn: str) -> None:
    """What `migrate --sql` prints, run by hand, gives the schema and the revision that migrating gives."""
    async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as connection:
        await connection.execute(migrate.script())  # pyright: ignore[reportArgumentType]
        await migrate.require_current(connection)
    by_hand = await shape(engine)
    assert await migrate.migrate(engine) == (REVISIONS[-1], REVISIONS[-1])
    async with engine.begin() as connection:
        await connection.run_sync(migrate.downgrade, "base")
    await migrate.migrate(engine)
    assert await shape(engine) == by_hand


async def test_two_operators_at_once(engine: AsyncEngine) -> None:
    """Two who migrate at the same time wait for each other and both succeed."""
    assert {each[1] for each in await asyncio.gather(*(migrate.migrate(engine) for _ in range(3)))} == {REVISIONS[-1]}


async def test_within_the_users_own_migration(engine: AsyncEngine, tmp_path: Path) -> None:
    """Called in a revision of the user's own Alembic it commits or rolls back with that, and leaves their `op` usable."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(
        "from alembic import context\n"
        "context.configure(connection=context.config.attributes['connection'])\n"
        "with context.begin_transaction():\n    context.run_migrations()\n"
    )
    (tmp_path / "versions" / "mine.py").write_text(
        "from alembic import op\nfrom eventstore.postgres import migrate\nrevision = 'mine'\ndown_revision = None\n"
        "def upgrade():\n    migrate.upgrade(op.get_bind())\n    op.execute('CREATE TABLE mine (x int)')\n"
    )
    config = Config(attributes={})
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("path_separator", "os")

    def run(connection: object) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    async with engine.connect() as connection, connection.begin() as outer:
        await connection.run_sync(run)
        await outer.rollback()
    assert await shape(engine) == []
    async with engine.begin() as connection:
        await connection.run_sync(run)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT version_num FROM public.alembic_version"))).scalar() == "mine"
        assert (await connection.execute(text("SELECT count(*) FROM mine"))).scalar() == 0
        assert await connection.run_sync(migrate.check) == REVISIONS[-1]


def test_revisions_are_small_and_whole() -> None:
    """Every revision has both SQL files beside it and a name that can travel in a wheel."""
    versions = migrate.migrations_directory() / "versions"
    for each in versions.glob("v*_*.py"):
        assert each.stem.isidentifier()
        assert len(each.read_text().splitlines()) < 25
        assert all(each.with_suffix(suffix).read_text().startswith("-- ") for suffix in (".up.sql", ".down.sql"))
    assert migrate.head() == REVISIONS[-1]
