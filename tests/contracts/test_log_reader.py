"""What every reader by assignment does: the log's own, and the one that reads an archive first."""

import asyncio

import pytest

from eventstore.archive.archiver import Archiver
from eventstore.archive.place import Place
from eventstore.archive.reader import ArchiveReader
from eventstore.archive.settings import ArchiveSettings
from eventstore.log.assigned import AssignedReader
from projections.control.checkpoint import has_reached
from tests.bank.fixtures import kafka, ledger, log, used_topics

__all__ = ["kafka", "ledger", "log", "used_topics"]
SMALL = ArchiveSettings(file_rows=17, group_rows=5)


@pytest.fixture(params=["log", "archive", "part archived", "all archived"])
async def reader(request, kafka, log, ledger, tmp_path):
    """A reader of 300 records, written in ten transactions, some of which or all of which may be archived."""
    place = Place(str(tmp_path))
    archived = {"archive": 0, "part archived": 5, "all archived": 10}.get(request.param, 0)
    for number in range(10):
        if number == archived > 0:
            await Archiver(kafka.events_topic, place, kafka, SMALL, lambda *_: None).drain()
        await log.write(ledger.some(30))
    if archived == 10:
        await Archiver(kafka.events_topic, place, kafka, SMALL, lambda *_: None).drain()
    group = f"{kafka.topic_prefix}.reader"
    made = AssignedReader(kafka, group) if request.param == "log" else ArchiveReader(place, kafka, group)
    yield made
    await made.close()


def zero(log):
    return {(log.settings.events_topic, each): 0 for each in range(log.settings.partitions)}


async def read_until(reader, goal):
    """Read until the reader has seen *goal*, and give the records by partition."""
    found = {each: [] for each in goal}
    async with asyncio.timeout(60):
        while not has_reached(await reader.seen(), goal):
            for each, records in (await reader.poll(0.1)).items():
                assert len(records) > 0
                found[each] += list(records)
    return found


def facts(records):
    return [(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in records]


async def expected(log):
    """What Kafka's own reader gives of everything."""
    plain = AssignedReader(log.settings, f"{log.settings.topic_prefix}.expected")
    await plain.open(zero(log))
    try:
        found = await read_until(plain, await plain.ends(zero(log)))
    finally:
        await plain.close()
    return {each: facts(records) for each, records in found.items()}


async def test_reads_all(reader, log, ledger):
    """Every record comes once, in order, with its key, value, time and headers as Kafka has them."""
    await reader.open(zero(log))
    found = await read_until(reader, await reader.ends(zero(log)))
    assert {each: facts(records) for each, records in found.items()} == await expected(log)
    assert sum(map(len, found.values())) == len(ledger.events)


@pytest.mark.parametrize("share", [0.3, 0.8])
async def test_starts_anywhere(reader, log, share):
    """A reader that starts in the middle gives exactly the records from there on."""
    whole = await expected(log)
    start = {each: int(share * records[-1][2]) for each, records in whole.items()}
    await reader.open(start)
    found = await read_until(reader, await reader.ends(start))
    assert {each: facts(records) for each, records in found.items()} == {
        each: [record for record in records if record[2] >= start[each]] for each, records in whole.items()
    }


@pytest.mark.parametrize("share", [0.3, 0.8])
async def test_limited(reader, log, share):
    """No record at or past its limit is given, however long one waits; once the limit is lifted, the rest comes, and nothing twice."""
    whole = await expected(log)
    limit = {each: int((share if each[1] % 2 else 1 - share) * records[-1][2]) for each, records in whole.items()}
    await reader.open(zero(log))
    reader.limit(limit)
    before = await read_until(reader, limit)
    assert await reader.poll(0.1) == {}
    assert {each: facts(records) for each, records in before.items()} == {
        each: [record for record in records if record[2] < limit[each]] for each, records in whole.items()
    }
    reader.limit(None)
    after = await read_until(reader, await reader.ends(limit))
    assert {each: facts(before[each] + after[each]) for each in before} == whole


async def test_goes_back(reader, log):
    """After a seek backwards everything from there comes again, whether it was read from a file or from Kafka."""
    whole = await expected(log)
    await reader.open(zero(log))
    ends = await reader.ends(zero(log))
    await read_until(reader, ends)
    middle = {each: records[len(records) // 3][2] for each, records in whole.items()}
    reader.seek(middle)
    found = await read_until(reader, ends)
    assert {each: facts(records) for each, records in found.items()} == {
        each: records[len(records) // 3 :] for each, records in whole.items()
    }


async def test_slices(reader, log):
    """What a poll gives can be cut, and cut below an offset, like any sequence."""
    await reader.open(zero(log))
    batch = {}
    while not batch:
        batch = await reader.poll(0.2)
    for records in batch.values():
        assert facts(records[:2]) + facts(records[2:]) == facts(records)
        assert facts(records.before(records[-1].offset)) == facts(records)[:-1]
