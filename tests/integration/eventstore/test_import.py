"""The bulk path: many streams, in order, once, whatever interrupts it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import NewEvent, PostgresSettings, RawEvent
from eventstore.errors import DuplicateEvent
from eventstore.lines import read_lines
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.bulk import Imported
from tests.stack.waiting import eventually

Stored = Callable[[], Awaitable[int]]
AWKWARD = "tab\tline\nback\\slash\r\"quote' 😀"


def history(events: int) -> list[tuple[str, NewEvent]]:
    """Make *events* events that go round seven streams."""
    return [(f"s{each % 7}", NewEvent(RawEvent("counted", {"n": each, "text": AWKWARD}))) for each in range(events)]


@pytest.fixture
def small(engine: AsyncEngine, settings: PostgresSettings) -> PostgresEventStore:
    """Give a store that imports 50 events at a time."""
    return PostgresEventStore(engine, settings.model_copy(update={"import_chunk": 50}))


async def numbers(store: PostgresEventStore, stream: str) -> list[int]:
    return [each.data["n"] async for each in store.read_stream(stream, decoded=False)]


async def test_order_and_versions(small: PostgresEventStore) -> None:
    """Events come out in the order given, numbered per stream across chunks, after what the stream held."""
    await small.append("s3", [RawEvent("counted", {"n": -1})])
    events = history(223)

    async def arriving() -> AsyncIterator[tuple[str, NewEvent]]:
        for each in events:
            yield each

    assert await small.import_events(arriving()) == Imported(223, 0)
    assert await numbers(small, "s3") == [-1, *range(3, 223, 7)]
    assert await numbers(small, "s0") == list(range(0, 223, 7))
    [first] = [each async for each in small.read_stream("s0", to_version=1, decoded=False)]
    assert (first.version, first.data["text"], first.id) == (1, AWKWARD, events[0][1].id)
    assert (await small.append("s0", [RawEvent("counted", {"n": 0})], expected=32)).version == 33


async def test_repeated_import_writes_nothing(small: PostgresEventStore, stored: Stored) -> None:
    """The same events again are known; a longer run adds only what is new."""
    events = history(120)
    assert await small.import_events(events[:70]) == Imported(70, 0)
    assert await small.import_events(events) == Imported(50, 70)
    assert await small.import_events(iter(events)) == Imported(0, 120)
    assert await stored() == 120
    assert await numbers(small, "s1") == list(range(1, 120, 7))


async def test_awkward_streams_and_odd_ids(small: PostgresEventStore, stored: Stored) -> None:
    """Stream names with every kind of character are kept; one id twice in a chunk is refused and the chunk is not recorded."""
    await small.import_events([(AWKWARD, RawEvent("x", {"n": 1}))])
    assert await numbers(small, AWKWARD) == [1]
    twice = NewEvent(RawEvent("x", {}))
    with pytest.raises(DuplicateEvent):
        await small.import_events([("a", twice), ("b", twice)])
    assert await stored() == 1


async def test_imports_and_appends_at_once(small: PostgresEventStore, stored: Stored) -> None:
    """Imports and appends to the same streams at the same time leave no hole and no wrong order."""
    batches = [history(200) for _ in range(3)]
    await asyncio.gather(
        *(small.import_events(each) for each in batches),
        *(small.append(f"s{each % 7}", [RawEvent("counted", {"n": 1000 + each})]) for each in range(40)),
    )
    assert await stored() == 640
    for stream in range(7):
        found = [each async for each in small.read_stream(f"s{stream}", decoded=False)]
        assert [each.version for each in found] == list(range(1, len(found) + 1))
        order = {each[1].id: number for batch in batches for number, each in enumerate(batch)}
        for batch in batches:
            ids = {each[1].id for each in batch}
            mine = [order[each.id] for each in found if each.id in ids]
            assert mine == sorted(mine)


async def test_killed_import_goes_on(
    store: PostgresEventStore, settings: PostgresSettings, stored: Stored, tmp_path: Path
) -> None:
    """An import that is killed with SIGKILL on its way is run again and ends with every event once, in order."""
    path = tmp_path / "events.jsonl"
    streams = [f"s{n % 7}" if n != 2_500 else "held" for n in range(5_000)]
    path.write_text("".join(f'{{"stream": "{s}", "type": "counted", "data": {{"n": {n}}}}}\n' for n, s in enumerate(streams)))
    environment = {
        **os.environ,
        "REFOLD_POSTGRES_DSN": settings.dsn.get_secret_value(),
        "REFOLD_POSTGRES_IMPORT_CHUNK": "100",
    }
    program = [sys.executable, "-c", "from eventstore.cli import main; main()", "import", str(path)]

    async def under_way() -> bool:
        return await stored() > 300

    async with checkout(store.engine) as holder, holder.transaction(force_rollback=True):
        await store.append("held", [RawEvent("counted", {})], connection=holder)  # so that it can't come to its end
        run = await asyncio.create_subprocess_exec(*program, env=environment)
        await eventually(under_way, "some imported events")
        run.kill()
        await run.wait()
    before = await stored()
    done = await store.import_events(read_lines(path, checked=False))
    assert 300 < before < 5_000
    assert (done.recorded + done.known, done.known >= before) == (5_000, True)
    assert await numbers(store, "s4") == list(range(4, 5_000, 7))
    async with checkout(store.engine) as connection:
        query = "SELECT bool_and(s.version = e.n) FROM eventstore.stream s JOIN (SELECT stream, count(*) n FROM eventstore.event"
        assert await (await connection.execute(f"{query} GROUP BY 1) e ON e.stream = s.name")).fetchone() == (True,)
