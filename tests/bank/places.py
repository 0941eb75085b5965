"""What the bank's sinks hold, by table and key, as the oracle writes it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import checkout
from projections.control.catalogue import find_live
from projections.control.generation import Generation
from projections.copies import opened_copies
from projections.serving import Sinks
from tests.bank import release17, release18
from tests.bank.oracle import Rows, expect
from tests.bank.runs import KEYS

RELEASES = {17: release17, 18: release18}


class Places:
    """The sinks of one test."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def live(self) -> Generation:
        """Give the live generation."""
        async with checkout(self.engine) as connection:
            found = await find_live(connection, "bank")
        assert found is not None
        return found

    async def rows(self, generation: Generation | None = None) -> dict[str, dict[str, Any]]:
        """Give the rows of every copy of *generation* (None = the live one), by sink and key."""
        chosen = generation or await self.live()
        projection = RELEASES[chosen.version].bank.projection
        async with opened_copies(projection, chosen) as copies:
            return {
                str(kept.sink): {
                    getattr(row, KEYS[kept.sink.table.name]): dataclasses.asdict(row) async for row in kept.copy.rows()
                }
                for kept in copies._kept
            }

    async def read(self, release: int = 17) -> dict[str, Any]:
        """Give what a web app sees now: every balance by rank from Valkey, and from the search index."""
        chosen = RELEASES[release]
        async with Sinks(self.engine) as sinks:
            ranked = await (await sinks.read(chosen.balances)).ranked("cents", 1000)
            found = await (await sinks.read(chosen.found)).find("account", limit=1000, order="cents")
        return {
            "ranked": {each.account: each.cents for each in ranked},
            "found": {each.account: each.cents for each in found.rows},
        }

    async def pointed(self, generation: Generation) -> set[int | None]:
        """Give the generations that readers without the catalogue see."""
        async with opened_copies(RELEASES[generation.version].bank.projection, generation) as copies:
            return {await kept.copy.pointed() for kept in copies._kept}


def lay_out(rows: Rows) -> dict[str, dict[str, Any]]:
    """Give by sink what tables that hold *rows* have in their copies."""
    return {
        "valkey:balance": rows["balance"],
        "search:balance": rows["balance"],
        "valkey:kind_total": rows["kind_total"],
        "postgres:trail": rows["trail"],
    }


def expected(events: Any, worth: Any = int) -> dict[str, dict[str, Any]]:
    """Give by sink what *events* make."""
    return lay_out(expect(events, worth))


@pytest.fixture
def places(
    engine: AsyncEngine, postgres_dsn: str, topic_prefix: str, valkey_url: str, search_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Places:
    """Give sinks that only this test has; the other PostgreSQL database is the same one, in schemas of its own."""
    monkeypatch.setenv("REFOLD_SINKS_VALKEY_URL", valkey_url)
    monkeypatch.setenv("REFOLD_SINKS_VALKEY_PREFIX", topic_prefix)
    monkeypatch.setenv("REFOLD_SINKS_SEARCH_DIR", str(search_dir))
    monkeypatch.setenv("REFOLD_SINKS_POSTGRES_DSN", postgres_dsn)
    return Places(engine)
