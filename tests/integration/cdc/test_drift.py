"""Row classes from the real catalogue, and records that drift away from them on the real Connect."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import projections.cli
from cdc import Change
from eventstore import PostgresSettings
from eventstore.postgres import migrate, open_engine
from projections import Projection, Projections
from tests.integration.cdc.conftest import Source
from tests.integration.cdc.test_order import feeding
from tests.stack.waiting import eventually


@dataclass(slots=True)
class Seat:
    id: int
    row: str
    price: float


def make_app(captured: Any) -> Projections:
    """Declare a read model of *captured*."""
    projection = Projection("seats")
    seats = projection.table(Seat, key="id")

    @seats.on_change(captured)
    def keep(change: Change, row: Seat | None) -> Seat | None:
        return None if change.after is None else Seat(change.after["id"], change.after["row"], float(change.after["price"]))

    return Projections(projection)


async def capture_seats(source: Source) -> tuple[Path, Path]:
    """Capture the table of seats; give the connector's file, and the module of row classes written from it."""
    engine = open_engine(PostgresSettings(dsn=SecretStr(source.dsn)))
    await migrate.migrate(engine)
    await engine.dispose()
    source.sql.execute("CREATE DOMAIN euros AS numeric(10, 2)")
    source.sql.execute('CREATE TABLE seat (id integer PRIMARY KEY, "row" text NOT NULL, price euros NOT NULL, cost euros)')
    source.sql.execute("INSERT INTO seat VALUES (1, 'a', 9.90)")
    path, module = (
        source.declare("public.seat", options='"column.exclude.list" = "public.seat.cost"'),
        source.folder / "seat_rows.py",
    )
    assert await source.run("apply", path) == 0
    assert await source.run("types", path, "--out", module, "--check") == 3
    assert await source.run("types", path, "--out", module) == 0
    assert await source.run("types", path, "--out", module, "--check") == 0
    assert await source.run("status", "--file", path, "--rows", module) == 0
    return path, module


def load_rows(module: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the *module* that `cdc types` wrote."""
    spec = importlib.util.spec_from_file_location("seat_rows", module)
    assert spec is not None
    assert spec.loader is not None
    rows = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "seat_rows", rows)
    spec.loader.exec_module(rows)
    return rows


async def test_drift(source: Source, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A class fits its table until the table changes; a column more flows through, one renamed or retyped parks with its reason."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", source.dsn)
    path, module = await capture_seats(source)
    rows = load_rows(module, monkeypatch)
    assert rows.SEAT.columns == {"price": "numeric(10,2)"}
    async with feeding(source, make_app(rows.SEAT)):
        source.sql.execute("ALTER TABLE seat ADD COLUMN window_side boolean")
        source.sql.execute("INSERT INTO seat VALUES (2, 'b', 19.90, 1, true)")
        await eventually(lambda: _has(source, "SELECT count(*) = 2 FROM {}.seat"), "a row with a column more")
        assert await source.run("types", path, "--out", module, "--check") == 3
        assert "+    window_side" in capsys.readouterr().out
        source.sql.execute('ALTER TABLE seat RENAME COLUMN "row" TO line')
        capsys.readouterr()
        assert await source.run("status", "--file", path, "--rows", module, "--json") == 0
        [health] = json.loads(capsys.readouterr().out)
        [finding] = health["findings"]
        assert finding["code"] == "schema"
        assert "public.seat: column row (text not null) is gone, and line (text not null) is new" in finding["what"]
        assert await source.run("doctor", "--file", path, "--rows", module, "--json") == 3
        [told] = json.loads(capsys.readouterr().out)
        drift = {each["severity"]: each["fact"] for each in told["findings"] if each["code"] == "RF-CDC-34"}
        assert drift.keys() == {"fail", "info"}
        assert "window_side" in drift["info"]
        source.sql.execute("INSERT INTO seat VALUES (3, 'c', 29.90, 1, true)")
        source.sql.execute("UPDATE seat SET price = 1 WHERE id = 1")
        await eventually(lambda: _has(source, "SELECT count(*) = 2 FROM projections.parked"), "rows with a renamed column wait")
        capsys.readouterr()
        assert await asyncio.to_thread(projections.cli.main, ["status", "--json"]) == 0
        [told] = json.loads(capsys.readouterr().out)
        [why] = told["drift"]
        assert "public.seat: column row (text not null) is gone, and line (text) is new: it was probably renamed" in why
        source.sql.execute('ALTER TABLE seat RENAME COLUMN line TO "row"')
        source.sql.execute("INSERT INTO seat VALUES (4, 'd', 39.90, 1, true)")
        await eventually(lambda: _has(source, "SELECT count(*) = 3 FROM {}.seat"), "a row that fits again")


async def _has(source: Source, statement: str) -> bool:
    found = source.sql.execute("SELECT schema_name FROM projections.generation WHERE state = 'live'").fetchone()
    return bool(found and source.sql.execute(statement.format(found[0])).fetchall()[0][0])  # type: ignore[arg-type]
