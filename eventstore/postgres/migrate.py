"""The database schema of this release, and whether a database has it.

Alembic runs the revisions in `migrations/` (in the wheel: `eventstore/migrations/`) under a version table of our own, so that
it never meets the user's Alembic. Three ways in: `eventstore migrate`, `eventstore migrate --sql` for those who run SQL by
hand, and `upgrade(connection)` inside the user's own migration tool.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import alembic
import psycopg
from alembic import command, op
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import MigrationMissing, PreconditionFailed
from eventstore.postgres.era import require_settled

SCHEMA: Final = "eventstore"
VERSION_TABLE: Final = "eventstore_revision"
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('eventstore.eventstore_revision'))"
_READ_REVISION: Final = "SELECT max(version_num) FROM eventstore.eventstore_revision"


def migrations_directory() -> Path:
    """Find the revisions: beside the package in a wheel, at the top of a checkout. Raises PreconditionFailed without them."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "migrations", package.parent / "migrations"):
        if (place / "env.py").is_file():
            return place
    raise PreconditionFailed(f"{package} has no migrations beside it: this installation is incomplete; reinstall refold")


@cache
def head() -> str:
    """Give the newest revision of this release, such as `v0001`, from its file name (Alembic takes 0.1 s to say the same)."""
    return max(each.name for each in (migrations_directory() / "versions").glob("v*_*.py")).partition("_")[0]


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the database up to *revision* within the transaction of *connection*; does nothing when it is there already.

    Two operators at once wait for each other. From async code: `await connection.run_sync(upgrade)`.
    """
    _run(command.upgrade, connection, revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Go back to *revision* ("base" = nothing). Refused by the database when events would be lost."""
    _run(command.downgrade, connection, revision)


def script(revision: str = "head") -> str:
    """Give the SQL that `upgrade` would run on an empty database."""
    text = io.StringIO()
    command.upgrade(_config(None, text), revision, sql=True)
    return text.getvalue()


async def migrate(engine: AsyncEngine) -> tuple[str | None, str]:
    """Bring the database of *engine* up to this release in one transaction; give the revision before and after."""
    async with engine.begin() as connection:
        before = await connection.run_sync(check)
        await connection.run_sync(upgrade)
        return before, head()


def check(connection: Connection) -> str | None:
    """Give the revision that the database has (None = none)."""
    if connection.exec_driver_sql("SELECT to_regclass('eventstore.eventstore_revision')").scalar() is None:
        return None
    return connection.exec_driver_sql(_READ_REVISION).scalar()


async def require_current(connection: psycopg.AsyncConnection[Any]) -> None:
    """Raise MigrationMissing, with the command to run, when the database is older than this release; newer is fine.

    Raises RestoredElsewhere when it came here in a dump and was not settled.
    """
    try:
        found = await connection.execute(_READ_REVISION)
        row = await found.fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    have = row[0] if row else None
    if have is None or have < head():
        raise MigrationMissing(
            f"database {connection.info.dbname!r} on {connection.info.host} has schema revision {have or 'none'}, this release "
            f"needs {head()}: run `eventstore migrate` (or apply the output of `eventstore migrate --sql`)",
            have=have,
            needed=head(),
        )
    await require_settled(connection)


def run_beside(revision_file: str, direction: Literal["up", "down"]) -> None:
    """Run the `.up.sql` or `.down.sql` beside *revision_file*: all that a revision's Python has to do."""
    sql = Path(revision_file).with_suffix(f".{direction}.sql").read_text(encoding="utf-8")
    migration = op.get_context()
    if migration.as_sql:
        migration.impl.static_output(sql)
    else:
        op.get_bind().exec_driver_sql(sql, execution_options={"no_parameters": True})


def _config(connection: Connection | None, output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output, attributes={"connection": connection})
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    return config


def _run(step: Any, connection: Connection, revision: str) -> None:
    """Run Alembic, one operator at a time; one that runs around us (a user's own revision) finds its `op` and `context` again.

    The lock is taken before Alembic is touched, since it keeps what it works on in module globals.
    """
    connection.exec_driver_sql(_ONE_AT_A_TIME)
    outer = [proxy for proxy in (vars(alembic.context).get("_proxy"), vars(alembic.op).get("_proxy")) if proxy is not None]
    try:
        step(_config(connection), revision)
    finally:
        for proxy in outer:
            proxy._install_proxy()
