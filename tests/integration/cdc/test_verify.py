"""`cdc verify`: read models compared with their source, on the real Connect, while rows are written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from eventstore import PostgresSettings
from eventstore.postgres import migrate, open_engine
from projections import Projections
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings
from tests.integration.cdc.conftest import Source
from tests.shop import sketches
from tests.shop.read_model import SCHEMA, app
from tests.stack.waiting import eventually

QUICK = ProjectionSettings(look_s=0.1, poll_s=0.05)
ROW = """INSERT INTO payment SELECT n, 'a' || n %% 7, n + 0.10, '2020-02-29 12:00:00.5+02'::timestamptz + n * interval '1 s', '2020-02-29',
    'größe', '{true,NULL,false}', '{a,"b c",NULL}', '{2020-01-01,infinity}', '{"b": [1, null], "a": "é"}', '\\x00ff',
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'P1Y2M3DT4H5M6.789S', '[1,5)', '10.0.0.1/24', B'0101', 1.1, '10:00:00.25+02', B'0010',
    '(1,2)', '2020-02-29 12:00:00' FROM generate_series(%s::int, %s::int) AS n"""


class Shop:
    """A captured table, the worker that makes read models of it, and `cdc verify`."""

    def __init__(self, source: Source, capsys: pytest.CaptureFixture[str]) -> None:
        self.source, self._capsys = source, capsys

    async def verify(self, path: object, *more: str) -> tuple[int, Any]:
        """Run the command; give its exit code and what it printed."""
        self._capsys.readouterr()
        code = await self.source.run("verify", path, "--app", "tests.shop.read_model:app", "--json", "--timeout", "90", *more)
        printed = self._capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else printed.err

    def model(self, statement: str, projection: str = "payments") -> None:
        """Change a table of the live generation behind everybody's back; `{}` is its schema."""
        query = "SELECT schema_name FROM projections.generation WHERE state = 'live' AND projection = %s"
        [(schema,)] = self.source.sql.execute(query, (projection,)).fetchall()
        self.source.sql.execute(statement.format(schema))


@pytest.fixture
async def shop(source: Source, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Give a shop whose table is captured once it is declared."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", source.dsn)
    source.sql.execute(SCHEMA)
    engine = open_engine(PostgresSettings(dsn=SecretStr(source.dsn)))
    await migrate.migrate(engine)
    await engine.dispose()
    return Shop(source, capsys)


@asynccontextmanager
async def feeding(source: Source, app: Projections = app) -> AsyncIterator[None]:
    """Feed the read models meanwhile."""
    engine, stopping = open_engine(PostgresSettings(dsn=SecretStr(source.dsn))), asyncio.Event()
    task = asyncio.create_task(Supervisor(app, engine, kafka=source.kafka, settings=QUICK).run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await task
        await engine.dispose()


@asynccontextmanager
async def writing(dsn: str) -> AsyncIterator[Callable[[], int]]:
    """Insert, change and delete rows meanwhile; gives the number of statements so far."""
    stopping, done = asyncio.Event(), 0

    async def write() -> None:
        nonlocal done
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            while not stopping.is_set():
                await connection.execute(ROW, (10_000 + done, 10_000 + done))
                await connection.execute("UPDATE payment SET amount = amount + 1 WHERE id > 100 AND id %% 50 = %s", (done % 50,))
                await connection.execute("DELETE FROM payment WHERE id = %s", (10_000 + done - 20,))
                done += 1

    task = asyncio.create_task(write())
    try:
        yield lambda: done
    finally:
        stopping.set()
        await task


async def test_verify(shop: Shop) -> None:
    """Read models equal their source while rows come, change and go; a row missing, too many or changed is found and shown."""
    source = shop.source
    source.sql.execute(ROW, (1, 500))
    path = source.declare("public.payment")
    assert await source.run("apply", path) == 0
    async with feeding(source):
        async with writing(source.dsn) as written:
            await eventually(lambda: _is_past(written, 20), "some writes")
            before = written()
            code, told = await shop.verify(path)
            assert written() > before
        assert isinstance(told, dict), told
        copies, notes = told["tables"]
        assert (code, told["equal"], copies["differing"]) == (0, True, []), told
        assert notes["expected_rows"] == notes["found_rows"]
        assert copies["ranges"] > 10
        assert (copies["uncompared"], copies["uncaptured"]) == ([], [])
        assert copies["expected_rows"] >= 500
        assert told["left_out"] == []
        shop.model("DELETE FROM {}.payment WHERE id = 7")
        shop.model("UPDATE {}.payment SET note = 'x' WHERE id IN (8, 9)")
        shop.model("INSERT INTO {}.payment (id, account, amount) VALUES (-1, 'ghost', 1)")
        code, told = await shop.verify(path, "--samples", "2")
        assert isinstance(told, dict), told
        copies, untouched = told["tables"]
        assert untouched["equal"]
        assert (code, copies["missing"], copies["surplus"], copies["changed"]) == (3, 1, 1, 2)
        assert {each["key"] for each in copies["samples"]} <= {"[-1]", "[7]", "[8]", "[9]"}


@pytest.mark.parametrize("lists", sketches.LISTS)
async def test_selected_columns(shop: Shop, lists: str) -> None:
    """Columns left out are named and not missed, chosen keys tell rows apart, masked values are no difference, and shapes are compared."""
    source, more = shop.source, ("--app", "tests.shop.sketches:app")
    source.sql.execute(sketches.SCHEMA)
    source.sql.execute(sketches.ROWS)
    full = 'full = ["public.badge", "public.visit"]'
    path = source.declare("public.sketch", "public.badge", "public.visit", extra=full, options=lists + sketches.OPTIONS)
    assert await source.run("apply", path) == 0
    async with feeding(source, sketches.app):
        source.sql.execute("UPDATE sketch SET secret = 'changed', spot = spot + point(1, 1) WHERE id = 2")
        source.sql.execute("UPDATE badge SET code = 'moved' WHERE id = 2")
        code, told = await shop.verify(path, *more)
        assert isinstance(told, dict), told
        found = {each["table"]: each for each in told["tables"]}
        assert (code, told["equal"], found.keys()) == (0, True, {"drawing", "holder"}), told
        assert told["left_out"] == ["sketches.caller is made from rows that share a key (visitor, by message.key.columns)"]
        assert (found["drawing"]["uncaptured"], found["drawing"]["uncompared"]) == (["secret"], [])
        assert (found["holder"]["uncaptured"], found["holder"]["uncompared"]) == (["id"], ["pin"])
        assert [each["refused"] for each in found.values()] == [0, 0]
        assert (found["drawing"]["found_rows"], found["holder"]["found_rows"]) == (3, 3)
        shop.model("UPDATE {}.drawing SET shapes = replace(shapes, '9', '8') WHERE id = 2", "sketches")
        shop.model("UPDATE {}.holder SET name = 'x' WHERE code = 'moved'", "sketches")
        code, told = await shop.verify(path, *more)
        assert (code, [each["changed"] for each in told["tables"]]) == (3, [1, 1]), told


async def _is_past(written: Callable[[], int], count: int) -> bool:
    return written() >= count
