"""Rows and sums equal their source on the real Connect, through truncates, snapshots taken anew and snapshots beside the stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from pydantic import SecretStr

import replay.cli
from eventstore import PostgresSettings
from eventstore.postgres import migrate, open_engine
from projections import Projections
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.integration.cdc.conftest import Source
from tests.shop.goods import SCHEMA, app
from tests.stack.waiting import eventually

QUICK = ProjectionSettings(look_s=0.1, poll_s=0.05)
FILL = "INSERT INTO good SELECT n, 'k' || n %% 3, n FROM generate_series(%s::int, %s::int) AS n"
APP = "tests.shop.goods:app"


@pytest.fixture
async def shop(source: Source, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Give a migrated database with a table of goods, whose deletes tell what the row was."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", source.dsn)
    source.sql.execute(SCHEMA)
    engine = open_engine(PostgresSettings(dsn=SecretStr(source.dsn)))
    await migrate.migrate(engine)
    await engine.dispose()
    return source


@asynccontextmanager
async def feeding(source: Source, fed: Projections = app) -> AsyncIterator[None]:
    """Feed the read models meanwhile."""
    engine, stopping = open_engine(PostgresSettings(dsn=SecretStr(source.dsn))), asyncio.Event()
    task = asyncio.create_task(Supervisor(fed, engine, kafka=source.kafka, settings=QUICK).run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await task
        await engine.dispose()


def look(source: Source, statement: str) -> list[Any]:
    """Read from the live generation; `{}` is its schema."""
    query = "SELECT schema_name FROM projections.generation WHERE state = 'live' AND projection = 'goods'"
    found = source.sql.execute(query).fetchone()
    return source.sql.execute(statement.format(found[0])).fetchall() if found else []  # type: ignore[index]


async def settled(source: Source, what: str) -> None:
    """Return once rows and sums equal the source's."""

    async def is_equal() -> bool:
        rows = source.sql.execute("SELECT id, kind, price FROM good ORDER BY id").fetchall()
        sums = source.sql.execute("SELECT kind, count(*)::int, sum(price)::int FROM good GROUP BY kind ORDER BY kind").fetchall()
        return (
            look(source, "SELECT id, kind, price FROM {}.good ORDER BY id") == rows
            and look(source, "SELECT kind, goods, worth FROM {}.kind ORDER BY kind") == sums
        )

    await eventually(is_equal, what, 60)


async def rebuild(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Rebuild from the beginning, and give what the verification found."""
    argv = ["--projection", "goods", "--from-beginning", "--app", APP, "--json"]
    capsys.readouterr()
    code = await asyncio.to_thread(replay.cli.main, argv)
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out)


async def churn(source: Source, stopping: asyncio.Event) -> None:
    """Truncate and fill the table again and again."""
    while not stopping.is_set():
        source.sql.execute("TRUNCATE good")
        source.sql.execute(FILL, (1, 9))
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 0.02)


async def ask(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """Ask about rows, and give the answer."""
    capsys.readouterr()
    code = await asyncio.to_thread(replay.cli.main, [*argv, "--projection", "goods", "--app", APP, "--json"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out)


@pytest.mark.parametrize("partitions", [1, 3])
async def test_goods(shop: Source, capsys: pytest.CaptureFixture[str], partitions: int) -> None:
    """What was truncated is gone, what came after is there; rows that went while nobody listened go when the table is read anew."""
    shop.sql.execute(FILL, (1, 40))
    extra = f'partitions = {partitions}\nfull = ["public.good"]\nsignals = "table"'
    path = shop.declare("public.good", extra=extra)
    assert await shop.run("apply", path) == 0
    async with feeding(shop):
        await settled(shop, "the snapshot")
        hidden = "SELECT relrowsecurity FROM pg_class WHERE relname LIKE 'seen%' AND relkind = 'r' AND relnamespace = '{}'::regnamespace"
        assert look(shop, hidden) == [(True,)]
        shop.sql.execute("TRUNCATE good")
        shop.sql.execute(FILL, (30, 60))
        await settled(shop, "rows after a truncate")
        with shop.sql.transaction():
            shop.sql.execute(FILL, (61, 70))
            shop.sql.execute("TRUNCATE good")
            shop.sql.execute(FILL, (65, 80))
        shop.sql.execute("UPDATE good SET price = price + 1 WHERE id % 2 = 0")
        await settled(shop, "a truncate within a transaction")

        shop.sql.execute("UPDATE good SET price = price + 1 WHERE id < 70")
        assert await shop.run("snapshot", "operations", "public.good") == 0
        assert await shop.run("snapshot", "operations", "public.good", "--blocking", "--where", "id = 66") == 0
        shop.sql.execute("DELETE FROM good WHERE id = 67")
        await settled(shop, "snapshots beside the stream and of a part")

        assert await shop.run("stop", "operations") == 0
        shop.sql.execute("DELETE FROM good WHERE id BETWEEN 70 AND 75")
        shop.sql.execute("UPDATE good SET price = 7 WHERE id = 76")
        shop.sql.execute(FILL, (90, 91))
        await eventually(lambda: _drop_slot(shop), "the slot is dropped")
        assert await shop.run("offsets", "reset", "operations", "--yes") == 0
        assert await shop.run("resume", "operations") == 0
        await settled(shop, "a snapshot taken anew")
        before = await rebuild(capsys)
        stopping = asyncio.Event()
        churning = asyncio.create_task(churn(shop, stopping))
        mended = [(await ask(capsys, "repair", "--since", "2020-01-01"))["changed"] for _ in range(2)]
        stopping.set()
        await churning
        assert mended == [0, 0], "what was truncated while the repair read on is gone for it too"
        shop.sql.execute("UPDATE good SET price = 1000")
        await settled(shop, "rows after all of them")
    assert before["state"] == "live", before
    assert before["verification"]["equal"], before
    [(kind,)] = look(shop, "SELECT min(kind) FROM {}.kind")
    why = await ask(capsys, "why", f"kind={kind}")
    assert why["agrees"], why
    assert "truncate" in {each["data"].get("swept") for each in why["causes"]}


async def _drop_slot(source: Source) -> bool:
    query = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
    return bool(source.sql.execute(query, (source.slot,)).fetchall())
