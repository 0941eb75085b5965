"""Events of the store joined with a captured table on real servers: a change that comes late corrects what was joined before."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest
from pydantic import SecretStr

import replay.cli
from eventstore import PostgresSettings
from eventstore.postgres import PostgresEventStore, open_engine
from eventstore.relay.relay import Relay
from tests.integration.cdc.conftest import Source
from tests.integration.cdc.test_order import feeding, shop
from tests.shop.priced import GoodSold, app
from tests.stack.waiting import eventually

__all__ = ["shop"]


def look(source: Source) -> dict[str, int | None]:
    """Give what each sale was worth, as the live generation says."""
    query = "SELECT schema_name FROM projections.generation WHERE state = 'live' AND projection = 'priced-sales'"
    found: Any = source.sql.execute(query).fetchone()
    return dict(source.sql.execute(f"SELECT id, cents FROM {found[0]}.sale").fetchall()) if found else {}


async def test_price_of_its_day(shop: Source, capsys: pytest.CaptureFixture[str]) -> None:
    """A sale has the price of its time, although the price came hours of the log later; a rebuild finds the same rows."""
    shop.sql.execute("INSERT INTO good VALUES (1, 'tea', 10), (2, 'ink', 500)")
    assert await shop.run("apply", shop.declare("public.good", extra='full = ["public.good"]')) == 0
    engine, stopping = open_engine(PostgresSettings(dsn=SecretStr(shop.dsn))), asyncio.Event()
    relaying = asyncio.create_task(Relay(engine, shop.kafka).run(stopping))

    async def worth(**expected: int | None) -> None:
        await eventually(lambda: asyncio.sleep(0, look(shop) == expected), f"sales are worth {expected}", 60)

    try:
        async with PostgresEventStore.open(engine=engine) as store, feeding(shop, app):
            await eventually(lambda: asyncio.sleep(0, bool(versions(shop))), "the snapshot is read", 60)
            await store.append("first", [GoodSold(1, 3)])
            await worth(first=30)
            assert await shop.run("stop", "operations") == 0
            shop.sql.execute("UPDATE good SET price = 11 WHERE id = 1")
            await store.append("second", [GoodSold(1, 3)])
            shop.sql.execute("UPDATE good SET price = 12 WHERE id = 1")
            await store.append("third", [GoodSold(1, 3)])
            shop.sql.execute("DELETE FROM good WHERE id = 1")
            await store.append("fourth", [GoodSold(1, 3)])
            await worth(first=30, second=30, third=30, fourth=30)  # as far as the log goes by now
            assert await shop.run("resume", "operations") == 0
            await worth(first=30, second=33, third=36, fourth=None)
            argv = ["--projection", "priced-sales", "--from-beginning", "--app", "tests.shop.priced:app", "--json"]
            capsys.readouterr()
            code = await asyncio.to_thread(replay.cli.main, argv)
            printed = capsys.readouterr()
            assert code == 0, printed.err
            facts = json.loads(printed.out)
            assert facts["state"] == "live"
            assert facts["verification"]["equal"], facts
            await store.append("fifth", [GoodSold(2, 2)])
            await worth(first=30, second=33, third=36, fourth=None, fifth=1000)
            await ask_why(capsys)
            await verify(shop, capsys)
    finally:
        stopping.set()
        await relaying
        await engine.dispose()


async def run(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """Run `replay` about the sales and give what it printed."""
    capsys.readouterr()
    sales = ("--projection", "priced-sales", "--app", "tests.shop.priced:app", "--json")
    code = await asyncio.to_thread(replay.cli.main, [*argv, *sales])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out)


async def ask_why(capsys: pytest.CaptureFixture[str]) -> None:
    """A sale is explained by its event and by the very change that its price came with, and a late or deleted price tells so."""
    told = await run(capsys, "why", "id=second")
    [event], [join] = told["causes"], told["joins"]
    [change] = join["causes"]
    assert (event["type"], event["stream"], told["agrees"], told["folded"]["cents"]) == ("good-sold", "second", True, 33)
    assert (change["data"]["op"], change["data"]["price"], change["row"]["cents"], join["gives"]) == ("u", 11, 11, {"cents": 33})
    assert change["topic"].endswith(".operations.public.good")
    at, since, until = (datetime.fromisoformat(each) for each in (told["folded"]["at"], change["time"], join["until"]))
    assert since <= at < until
    [gone] = (await run(capsys, "why", "id=fourth"))["joins"]
    assert (gone["causes"][0]["data"]["op"], gone["version"]["cents"], gone["gives"]) == ("d", None, {"cents": None})
    assert [each["changed"] for each in [await run(capsys, "repair", "--since", "2025-12-31")]] == [0]


async def verify(shop: Source, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a joined table the source's columns are compared; those that a join fills, or that hold a time, are named and left out."""
    query = "SELECT schema_name FROM projections.generation WHERE state = 'live' AND projection = 'priced-sales'"
    [(schema,)] = shop.sql.execute(query).fetchall()

    async def compare() -> tuple[int, Any]:
        capsys.readouterr()
        asked = ("--app", "tests.shop.priced:app", "--json", "--timeout", "90")
        code = await shop.run("verify", shop.folder / "operations.toml", *asked)
        return code, json.loads(capsys.readouterr().out)

    shop.sql.execute(f"UPDATE {schema}.label SET cents = 7")
    code, told = await compare()
    [label] = told["tables"]
    assert (code, label["joined"], label["uncompared"]) == (0, {"cents": "price"}, ["at"]), told
    assert told["left_out"] == ["priced-sales.price holds what rows were at times past"]
    shop.sql.execute(f"UPDATE {schema}.label SET kind = 'glue'")
    code, told = await compare()
    [sample] = told["tables"][0]["samples"]
    assert (code, sample["expected"], sample["found"]) == (3, {"good": 2, "kind": "ink"}, {"good": 2, "kind": "glue"}), told


def versions(source: Source) -> list[Any]:
    """Give the versions of prices that the live generation knows."""
    query = "SELECT schema_name FROM projections.generation WHERE state = 'live' AND projection = 'priced-sales'"
    found: Any = source.sql.execute(query).fetchone()
    return source.sql.execute(f"SELECT * FROM {found[0]}.price").fetchall() if found else []
