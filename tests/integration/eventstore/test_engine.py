"""Connections: who we say we are, what is cleaned up, and what is said when nobody answers."""

from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import Unreachable, UsageError
from eventstore.postgres import checkout, load, open_engine
from eventstore.postgres.refusals import is_lost
from eventstore.settings import PostgresSettings


async def test_session_settings(engine: AsyncEngine) -> None:
    """A session carries our name, runs in UTC without JIT, and is ended when it idles inside a transaction."""
    async with checkout(engine) as connection:
        for name, value in {
            "application_name": "test",
            "TimeZone": "UTC",
            "jit": "off",
            "idle_in_transaction_session_timeout": "1min",
        }.items():
            assert (await (await connection.execute("SELECT current_setting(%s)", (name,))).fetchone()) == (value,)


@pytest.mark.parametrize(
    "dsn", ["postgresql://ann:s3cret@127.0.0.1:1/shop", "postgresql://ann:s3cret@127.0.0.1:1/shop?options=-c%20a=b"]
)
async def test_nobody_answers(dsn: str) -> None:
    """A server that does not answer is named without the password, with what to do."""
    engine = open_engine(PostgresSettings(dsn=SecretStr(dsn)))
    with pytest.raises(Unreachable, match="refold up") as refused:
        async with checkout(engine):
            pass
    await engine.dispose()
    assert "postgresql://ann@127.0.0.1:1/shop" in str(refused.value)
    assert "s3cret" not in f"{refused.value} {refused.value.facts}"
    assert refused.value.exit_code == 6


async def test_missing_database(settings: PostgresSettings) -> None:
    """A database that does not exist is Unreachable too, with the server's own words."""
    dsn = settings.dsn.get_secret_value().rpartition("/")[0] + "/es_never_made"
    engine = open_engine(PostgresSettings(dsn=SecretStr(dsn)))
    with pytest.raises(Unreachable, match="does not exist"):
        async with checkout(engine):
            pass
    await engine.dispose()


async def test_checkout_is_clean_on_return(settings: PostgresSettings) -> None:
    """What a borrower left open is rolled back, and the next one gets the connection as new."""
    engine = open_engine(settings.model_copy(update={"pool_size": 1}))
    async with checkout(engine) as first:
        await first.execute("CREATE TABLE kept (x int)")
        await first.set_autocommit(False)
        await first.execute("INSERT INTO kept VALUES (1)")
        first.row_factory = psycopg.rows.dict_row
    async with checkout(engine) as second:
        assert second is first
        assert await (await second.execute("SELECT count(*) FROM kept")).fetchone() == (0,)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO kept VALUES (2)"))
    async with checkout(engine) as third:
        assert await (await third.execute("SELECT x FROM kept")).fetchone() == (2,)
    await engine.dispose()


async def test_broken_connection_is_replaced(engine: AsyncEngine) -> None:
    """A connection that the server ended is thrown away and the next checkout works."""
    with pytest.raises(psycopg.OperationalError):
        async with checkout(engine) as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    async with checkout(engine) as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


def test_unknown_statement_lists_the_known() -> None:
    """Asking for a statement that does not exist lists those that do."""
    assert load("eventstore.postgres", "append").startswith("-- ")
    with pytest.raises(UsageError, match=r"no statement 'apend'.*append, .*read_stream"):
        load("eventstore.postgres", "apend")


async def test_broken_while_it_is_made(settings: PostgresSettings) -> None:
    """A first connection that the server ends while SQLAlchemy still looks around on it is an error of the driver like any other."""
    engine = open_engine(settings)

    @event.listens_for(engine.sync_engine, "connect", insert=True)
    def end(raw: Any, _record: Any) -> None:
        with psycopg.connect(settings.dsn.get_secret_value()) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (raw.driver_connection.info.backend_pid,))

    with pytest.raises(psycopg.OperationalError) as broken:
        async with checkout(engine):
            pass
    assert is_lost(broken.value)
    await engine.dispose()
