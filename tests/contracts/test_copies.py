"""What every copy of a read model keeps, wherever it is: fences, offsets, wholeness, and who is seen."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from eventstore.errors import Fenced, Unreachable
from projections.copies.contract import CopyLost
from projections.settings import SinkSettings
from tests.contracts.copies import BORN, FIRST, RICH, SECOND, Sinks, batch, normal, read, some

KINDS = ["valkey", "search", "postgres"]


@pytest.fixture(params=[*KINDS, *(f"{each} tenants" for each in KINDS)])
def sinks(request: pytest.FixtureRequest, search_dir: Path, topic_prefix: str) -> Sinks:
    """A sink that holds nothing, for a table without tenants or with them."""
    kind, _, tenants = request.param.partition(" ")
    chosen = {
        "valkey": lambda: SinkSettings(valkey_url=request.getfixturevalue("valkey_url"), valkey_prefix=topic_prefix),
        "search": lambda: SinkSettings(search_dir=search_dir),
        "postgres": lambda: SinkSettings(postgres_dsn=SecretStr(request.getfixturevalue("postgres_dsn"))),
    }
    return Sinks(kind, chosen[kind](), tenants=bool(tenants))


async def test_holds_every_type(sinks):
    """A row comes back as it was, whatever its columns hold, None included."""
    bare = replace(some(1)[0], price=None, parts=None, more=None, since=None)
    async with sinks.filled() as copy:
        await copy.apply(batch(RICH, bare))
        assert await copy.count() == 2
        assert {each: normal(row) for each, row in (await read(copy)).items()} == {-7: normal(RICH), 0: normal(bare)}


async def test_batch_changes_rows_and_offset(sinks):
    """Rows that a batch changes replace those under their keys, columns that became None are empty, deleted ones are gone."""
    async with sinks.filled(*some(3)) as copy:
        changed = replace(some(1)[0], name="other", price=None)
        await copy.apply(batch(changed, *some(1, start=3), gone=(("shop", 1), ("shop", 99)), move=(0, 5)))
        rows = await read(copy)
        assert sorted(rows) == [0, 2, 3]
        assert normal(rows[0]) == normal(changed)
        assert (await copy.stand()).vector == {FIRST: 5, SECOND: 0}


async def test_zombie_changes_nothing(sinks):
    """Whoever claimed earlier writes nothing after a later claim, and can't claim again with its old epoch."""
    async with sinks.filled(*some(1)) as zombie, sinks.copy() as owner:
        await owner.claim({FIRST: 2})
        with pytest.raises(Fenced):
            await zombie.apply(batch(*some(2, "late"), move=(0, 9)))
        with pytest.raises(Fenced):
            await zombie.claim({FIRST: 1})
        assert [row.name for row in (await read(owner)).values()] == ["thing 0"]
        assert (await owner.stand()).vector[FIRST] == 0
        await owner.apply(batch(*some(1, "new"), epoch=2))
        assert [row.name for row in (await read(owner)).values()] == ["new 0"]


async def test_other_partitions_stay_with_their_owners(sinks):
    """A claim fences the partitions that it names and no others."""
    async with sinks.filled() as first, sinks.copy() as second:
        await second.claim({SECOND: 2})
        await first.apply(batch(*some(1)))
        assert await second.count() == 1


async def test_repeated_batch_changes_nothing(sinks):
    """A batch that a copy is past already leaves rows as they are, so that a reader never goes back; offsets don't either."""
    async with sinks.filled() as copy:
        await copy.apply(batch(*some(1, "old"), move=(0, 5)))
        await copy.apply(batch(*some(1, "new"), move=(5, 9)))
        await copy.claim({FIRST: 2})
        await copy.apply(batch(*some(1, "old"), epoch=2, move=(0, 5)))
        assert [row.name for row in (await read(copy)).values()] == ["new 0"]
        assert (await copy.stand()).vector[FIRST] == 9


async def test_shared_rows_are_written_again(sinks):
    """Where rows are touched from several partitions a repeated batch is written, since another partition may have passed by."""
    async with sinks.filled() as copy:
        await copy.apply(batch(*some(1, "old"), move=(0, 5), owned=False))
        await copy.apply(batch(*some(1, "again"), move=(0, 5), owned=False))
        assert [row.name for row in (await read(copy)).values()] == ["again 0"]


async def test_mended_rows_are_written_without_a_move(sinks):
    """Rows of parked records reach a copy although no offset moves."""
    async with sinks.filled() as copy:
        await copy.apply(batch(*some(1), move=(0, 5)))
        await copy.apply(batch(*some(1, "mended"), move=(5, 5)))
        assert [row.name for row in (await read(copy)).values()] == ["mended 0"]


async def test_copy_that_lost_rows_refuses(sinks):
    """A copy that stands before a batch's first record, is not filled or is gone takes no batch: somebody must fill it anew."""
    async with sinks.filled(*some(3)) as copy:
        with pytest.raises(CopyLost):
            await copy.apply(batch(*some(1), move=(4, 5)))
        await copy.begin()
        with pytest.raises(CopyLost):
            await copy.apply(batch(*some(1)))
        await copy.drop()
        with pytest.raises((Unreachable, Fenced)):
            await copy.apply(batch(*some(1)))
        assert not (await copy.claim({FIRST: 3})).filled


async def test_fill_replaces_all(sinks):
    """A fill leaves nothing of what was there, and only the latest ticket's holder has a say."""
    async with sinks.filled(*some(3)) as copy:
        stale = await copy.begin()
        ticket = await copy.begin()
        with pytest.raises(Fenced):
            await copy.put(stale, some(9))
        await copy.put(ticket, some(2, start=10))
        with pytest.raises(Fenced):
            await copy.finish(stale, {FIRST: 0})
        await copy.finish(ticket, {FIRST: 40, SECOND: 50})
        assert sorted(await read(copy)) == [10, 11]
        assert await copy.stand() == (True, {FIRST: 40, SECOND: 50})
        with pytest.raises(Fenced):
            await copy.put(ticket, some(9))


async def test_many_rows(sinks):
    """A batch of more rows than one step takes is whole at its end, and so is a drop."""
    async with sinks.filled() as copy:
        await copy.apply(batch(*some(12_000), move=(0, 12_000)))
        assert await copy.count() == 12_000
        assert (await copy.stand()).vector[FIRST] == 12_000
        await copy.drop()
        assert await copy.stand() is None


async def test_owners_beside_each_other(sinks):
    """Owners of different partitions write at the same time, and nothing of either is lost."""
    async with sinks.filled() as first, sinks.copy() as second:
        await second.claim({SECOND: 2})

        async def write(copy, partition, epoch, start):
            for number in range(5):
                fence = batch(*some(1, start=start + number), epoch=epoch, move=(number, number + 1))
                await copy.apply(fence._replace(fences=[fence.fences[0]._replace(partition=partition)]))

        await asyncio.gather(write(first, FIRST, 1, 0), write(second, SECOND, 2, 100))
        assert sorted(await read(first)) == [*range(5), *range(100, 105)]
        assert (await first.stand()).vector == {FIRST: 5, SECOND: 5}


async def test_generations_apart(sinks):
    """Generations know nothing of each other, and dropping one, twice if need be, leaves the other."""
    async with sinks.filled(*some(2)) as old, sinks.filled(*some(1, "new"), number=2) as new, sinks.copy(declared=False) as look:
        assert (await old.count(), await new.count()) == (2, 1)
        assert (await look.stand()).filled
        await look.drop()
        await look.drop()
        assert await look.stand() is None
        assert await new.count() == 1


async def test_pointer_follows_the_latest_swap(sinks):
    """Readers without the catalogue see what the latest swap made live, however late an earlier one's move arrives."""
    async with sinks.filled(*some(2)) as old, sinks.filled(*some(1), number=2) as new:
        assert await old.pointed() is None
        assert await old.point(10)
        assert await new.point(20)
        assert not await old.point(10), "a mover that slept"
        assert await old.pointed() == 2
        assert await old.point(30), "a rollback"
        assert await old.point(30), "repeated"
        assert await new.pointed() == 1


async def test_number_of_another_database(sinks):
    """What a dropped database's generation of the same number left is not taken for one's own, and not left over."""
    later = BORN + timedelta(days=1)
    async with sinks.filled(*some(3)) as old, sinks.copy(born=later) as new:
        assert await new.stand() is None
        assert await new.claim({FIRST: 1}) == (False, {FIRST: 0})
        ticket = await new.begin()
        await new.finish(ticket, {FIRST: 0})
        assert await new.count() == 0
        with pytest.raises(Fenced):
            await old.claim({FIRST: 7})


async def test_sink_that_is_away(sinks, tmp_path):
    """A sink that can't be reached is named, as a server is that a worker waits for."""
    (tmp_path / "file").touch()
    nowhere = {
        "valkey": SinkSettings(valkey_url=SecretStr("valkey://127.0.0.1:9"), timeout_s=0.5),
        "search": SinkSettings(search_dir=tmp_path / "file", timeout_s=0.2),
        "postgres": SinkSettings(postgres_dsn=SecretStr("postgresql://127.0.0.1:9/none"), timeout_s=0.5),
    }
    async with Sinks(sinks.kind, nowhere[sinks.kind]).copy() as copy:
        with pytest.raises(Unreachable):
            await copy.claim({FIRST: 1})
