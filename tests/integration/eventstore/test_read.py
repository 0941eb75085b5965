"""Reading a stream and reading everything: pages, ranges, old versions, and which index is used."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from eventstore import START, Position, RawEvent, event, upcast
from eventstore.errors import UndecodableRecord
from eventstore.postgres import PostgresEventStore, checkout, load
from eventstore.postgres.pages import Wanted, find_event, read_page

Readable = Callable[[int], Awaitable[Position]]


@event("read-test-renamed", version=3)
class Renamed:
    first: str
    last: str


@upcast("read-test-renamed", version=1)
def split_name(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had one name."""
    first, _, last = data["name"].partition(" ")
    return {"first": first, "surname": last}


@upcast("read-test-renamed", version=2)
def rename_surname(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 called the last name surname."""
    return {"first": data["first"], "last": data["surname"]}


async def test_old_versions_are_lifted(store: PostgresEventStore) -> None:
    """Events stored under older schema versions are read as the newest class, and keep the version they were stored under."""
    name = "read-test-renamed"
    await store.append("a", [RawEvent(name, {"name": "Ada Byron"}, 1), RawEvent(name, {"first": "Ada", "surname": "King"}, 2)])
    await store.append("a", [Renamed("Ada", "Lovelace")])
    found = [each async for each in store.read_stream("a")]
    assert [each.data.last for each in found] == ["Byron", "King", "Lovelace"]
    assert [each.schema_version for each in found] == [1, 2, 3]


@pytest.mark.parametrize(("data", "version"), [({"first": 5}, 3), ({}, 4), ({"first": "x"}, 2)])
async def test_data_that_fits_no_class(store: PostgresEventStore, data: dict[str, Any], version: int) -> None:
    """Stored data that the class can't hold, or of a version from the future, is an error that names type and version."""
    await store.append("a", [RawEvent("read-test-renamed", data, version)])
    with pytest.raises(UndecodableRecord, match=f"'read-test-renamed':? version {version}"):
        _ = [each async for each in store.read_stream("a")]


async def test_ranges_and_pages(store: PostgresEventStore, readable: Readable) -> None:
    """Any range of a stream and any limit over all events is exact, across page borders too."""
    for start in range(0, 2_200, 550):
        await store.append("long", [RawEvent("x", {"n": start + each}) for each in range(1, 551)])
    versions = [each.version async for each in store.read_stream("long", from_version=999, to_version=2_001, decoded=False)]
    assert versions == list(range(999, 2_002))
    assert [each.version async for each in store.read_stream("long", from_version=2_200, decoded=False)] == [2_200]
    assert [each async for each in store.read_stream("long", from_version=2_201)] == []
    assert [each async for each in store.read_stream("no such stream")] == []
    head = await readable(2_200)
    page = await read_page(store.engine, START, Wanted("", 1_500, 1 << 30))
    assert [row[1] for row in page] == list(range(1, 1_501))
    after = Position(page[-1][2], page[-1][3])
    assert await store.count(after) == 700
    assert await store.count(head) == 0
    assert await find_event(store.engine, after) == page[-1][4]
    assert await find_event(store.engine, Position(after.xid, 0)) is None


async def test_page_ends_early_when_large(store: PostgresEventStore, readable: Readable) -> None:
    """A page stops when its data grows too large, yet always holds one event."""
    await store.append("a", [RawEvent("x", {"n": each, "text": "y" * 500}) for each in range(10)])
    await readable(10)
    assert len(await read_page(store.engine, START, Wanted("", 100, 1_200))) == 3
    assert len(await read_page(store.engine, START, Wanted("", 100, 1))) == 1


async def test_ordered_reads_use_the_index(store: PostgresEventStore) -> None:
    """Every ordered read walks the index (xid, position) from where it starts, without sorting."""
    for start in range(4):
        await store.append("a", [RawEvent(f"kind-{each % 20}", {"n": start + each}) for each in range(1_000)])
    async with checkout(store.engine) as connection:
        await connection.execute("ANALYZE eventstore.event")
        for name, arguments in (
            ("read_all", ("3", 0, 100)),
            ("relay_page", {"xid": "3", "position": 0, **Wanted("t.events", 100, 1_000_000)._asdict()}),
            ("head", ()),
            ("read_stream", ("a", 3_500, 9_999, 100)),
        ):
            explain: Any = "EXPLAIN " + load("eventstore.postgres", name)
            plan = "\n".join(row[0] for row in await (await connection.execute(explain, arguments)).fetchall())
            assert re.search("Index (Only )?Scan", plan), plan
            assert "Index Cond" in plan, plan
            assert "Sort" not in plan, plan
