"""Topics become files: whole, never overlapping, filled on by the next run, and readable by others."""

import asyncio
import os
import signal
import subprocess
import sys

import duckdb
import pytest

import eventstore.cli
from eventstore.archive.archiver import Archiver
from eventstore.archive.audit import survey
from eventstore.archive.place import Place
from eventstore.archive.settings import ArchiveSettings
from eventstore.errors import HeldElsewhere
from eventstore.moments import CRASHED
from tests.stack.waiting import eventually

COMMAND = "import sys; from eventstore.cli import main; sys.exit(main())"


def files(place):
    return sorted(str(each.relative_to(place)) for each in place.rglob("*.parquet"))


def query(place, statement):
    return duckdb.connect().execute(statement.replace("ARCHIVE", f"'{place}/**/*.parquet', union_by_name = true")).fetchall()


async def test_fills_on(runs, log, ledger, place):
    """A second run goes on where the files end, leaves the first ones as they are, and DuckDB counts every event once."""
    await log.write(ledger.some(200))
    first = await runs.program(eventstore.cli.main, "archive", "run", "--drain", "--json")
    assert first.code == 0, first.err
    before = {name: (place / name).read_bytes() for name in files(place)}
    await log.write(ledger.some(100))
    second = await runs.program(eventstore.cli.main, "archive", "run", "--drain", "--json")
    topic = log.settings.events_topic
    assert [each.facts["topics"][topic]["records"] for each in (first, second)] == [200, 100]
    assert {name: (place / name).read_bytes() for name in before} == before
    found = query(place, "SELECT type, stream, version, position, data->>'account' FROM read_parquet(ARCHIVE)")
    assert sorted(found) == sorted((e.type, e.stream, e.version, str(e.position), e.data["account"]) for e in ledger.events)
    moved = sum(each.data["amount"] for each in ledger.events if each.type == "money-moved")
    assert query(place, 'SELECT sum("money-moved.amount") FROM read_parquet(ARCHIVE)') == [(moved,)]
    checked = await runs.program(eventstore.cli.main, "archive", "verify", "--json")
    assert (checked.code, checked.facts["records"], checked.facts["faults"]) == (0, 300, [])


@pytest.mark.parametrize("moment", ["archive.before_rename", "archive.after_write"])
async def test_crash(runs, log, ledger, place, moment):
    """An archiver that is killed while it writes leaves whole files only, and the next run gives every record exactly once."""
    await log.write(ledger.some(200))
    crashed = runs.child("eventstore", "archive", "run", "--drain", REFOLD_FAIL_AT=moment, REFOLD_ARCHIVE_FILE_ROWS="20")
    await asyncio.to_thread(crashed.communicate)
    assert crashed.returncode == CRASHED
    assert len(files(place)) == (moment == "archive.after_write")
    done = await runs.program(eventstore.cli.main, "archive", "run", "--drain", "--json")
    assert done.code == 0, done.err
    assert sum(each.records for each in survey(Place(str(place)), log.settings.events_topic, deep=True)) == 200
    assert len(query(place, "SELECT DISTINCT position FROM read_parquet(ARCHIVE)")) == 200
    assert not list(place.rglob("*.partial"))


async def test_follows(runs, log, ledger, place):
    """A following archiver closes a file after its time, writes what it holds when it is stopped, and ends with 0."""
    child = runs.child("eventstore", "archive", "run", "--json", REFOLD_ARCHIVE_FLUSH_S="0.2")

    async def held():
        return sum(each.records for each in survey(Place(str(place)), log.settings.events_topic)) == 50

    try:
        await log.write(ledger.some(50))
        await eventually(held, "the first events are archived")
        child.send_signal(signal.SIGTERM)
        await asyncio.to_thread(child.communicate)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0


async def test_object_storage(kafka, log, ledger):
    """What fsspec knows serves as a place: here an archive in memory holds every record."""
    place = Place(f"memory://{kafka.topic_prefix}/archive")
    await log.write(ledger.some(60))
    archiver = Archiver(kafka.events_topic, place, kafka, ArchiveSettings(file_rows=10), lambda *_: None)
    await archiver.drain()
    found = survey(place, kafka.events_topic, deep=True)
    assert sum(each.records for each in found) == archiver.records == 60
    assert place.find_topics() == [kafka.events_topic]
    assert not [fault for each in found for fault in each.faults]


async def test_faults_named(runs, log, ledger, place):
    """A missing file and a damaged one are named, with exit code 3; a missing one also stops the next run."""
    await log.write(ledger.some(200))
    archiver = Archiver(
        log.settings.events_topic, Place(str(place)), log.settings, ArchiveSettings(file_rows=10), lambda *_: None
    )
    await archiver.drain()
    names = [each for each in files(place) if "partition=0" in each]
    (place / names[1]).unlink()
    (place / names[2]).write_bytes((place / names[2]).read_bytes()[:-20])
    checked = await runs.program(eventstore.cli.main, "archive", "verify", "--json")
    assert checked.code == 3
    assert any("are in no file" in each for each in checked.facts["faults"])
    assert any("can't be read" in each for each in checked.facts["faults"])
    await log.write(ledger.some(20))
    again = await runs.program(eventstore.cli.main, "archive", "run", "--drain", "--json")
    assert (again.code, "the archive is broken" in again.err) == (3, True)


async def test_one_archiver(log, ledger, place):
    """A second archiver of a directory is refused while the first runs."""
    archiver = Archiver(log.settings.events_topic, Place(str(place)), log.settings, ArchiveSettings(), lambda *_: None)
    with Place(str(place)).locked(log.settings.events_topic), pytest.raises(HeldElsewhere):
        await archiver.drain()


async def test_lost_beginning(kafka, log, ledger, place):
    """A topic whose beginning is gone and not archived is refused, since no replay could use that archive."""
    await log.write(ledger.some(100))
    await cut(kafka, 10)
    archiver = Archiver(kafka.events_topic, Place(str(place)), kafka, ArchiveSettings(), lambda *_: None)
    with pytest.raises(Exception, match="An archive begins with the topic"):
        await archiver.drain()


async def cut(kafka, offset):
    """Delete the records before *offset* from every partition, as retention would."""
    from aiokafka import TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    try:
        wanted = {TopicPartition(kafka.events_topic, each): RecordsToDelete(offset) for each in range(kafka.partitions)}
        await client.delete_records(wanted)
    finally:
        await client.close()


def test_not_installed():
    """Without the extra the command says what to install, with exit code 2."""
    code = f"import sys; sys.modules['pyarrow'] = None; sys.argv[1:] = ['archive', 'status', '--from', 'x']; {COMMAND}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, "refold[archive]" in done.stderr) == (2, True)
