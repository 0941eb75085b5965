"""The measurement that users run: figures for every line, and nothing left behind."""

import json

import psycopg
import pytest

from eventstore.cli import main

SCRATCH = "SELECT datname FROM pg_database WHERE datname LIKE 'refold_scratch_%'"


def test_bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, postgres_dsn: str) -> None:
    """Every kind of append and read has a rate, and the scratch database is gone afterwards."""
    before = scratches(postgres_dsn)
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", postgres_dsn)
    assert main(["bench", "--seconds", "0.2", "--events", "2000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"append 1 by 64 at once", "import", "read a stream of 1000", "read all in order"} <= set(found)
    assert all(each["rate"] > 0 and each["median_s"] <= each["p99_s"] for each in found.values())
    assert scratches(postgres_dsn) <= before


def scratches(dsn: str) -> set[str]:
    """Name the scratch databases on the server."""
    with psycopg.connect(dsn) as connection:
        return {row[0] for row in connection.execute(SCRATCH)}
