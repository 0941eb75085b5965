"""The relay: every event in the topic once, in order, whatever kills it."""

import signal
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import Envelope, KafkaSettings, NewEvent, Position, RawEvent, RelaySettings, event, registry
from eventstore.codec import decode
from eventstore.errors import PreconditionFailed
from eventstore.log.admin import Admin
from eventstore.log.events import EventSource
from eventstore.log.partitioner import partition_of
from eventstore.log.wire import parse
from eventstore.moments import CRASHED
from eventstore.postgres import PostgresEventStore
from eventstore.relay import Relay
from tests.integration.eventstore.topic import read_topic, require_all
from tests.stack.waiting import eventually, until

Readable = Callable[[int], Awaitable[Position]]
Start = Callable[..., Awaitable[Process]]


@event("relay-test-counted", version=2)
class Counted:
    n: int


async def fill(store: PostgresEventStore, events: int) -> None:
    for each in range(events):
        await store.append(f"s{each % 11}", [Counted(each)])


async def test_every_event_once_in_order(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable: Readable
) -> None:
    """A relay publishes what is there, a second one goes on where the first stood, and a third finds nothing to do."""
    await fill(store, 40)
    await readable(40)
    assert (await Relay(engine, kafka, RelaySettings(batch_events=7)).drain()).published == 40
    await fill(store, 5)
    head = await readable(45)
    done = await Relay(engine, kafka).drain()
    assert (done.published, done.position) == (5, head)
    assert (await Relay(engine, kafka).drain()).published == 0
    assert await require_all(store, kafka) == 45


async def test_records_say_what_the_store_says(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable: Readable
) -> None:
    """A record carries key, time, content type and the whole envelope, and is read back as the store reads it."""
    metadata = {"correlationid": "c-1", "traceparent": "00-1", "deep": {"é": [1, None]}, "n": 5}
    awkward = 'we"ird\\näme\n'
    await store.append(awkward, [NewEvent(Counted(1), metadata=metadata), RawEvent("never-declared", {"x": 1}), Counted(2)])
    await readable(3)
    await Relay(engine, kafka, RelaySettings(source="/shop/1")).drain()
    records = (await read_topic(kafka))[partition_of(awkward, kafka.partitions)]
    stored: list[Envelope] = [each async for each in store.read_stream(awkward, decoded=False)]
    assert [record.key for record in records] == [awkward.encode()] * 3
    assert {record.headers for record in records} == {(("content-type", b"application/cloudevents+json"),)}
    for record, each in zip(records, stored, strict=True):
        assert abs(record.timestamp - each.recorded_at.timestamp() * 1000) < 2
    document = decode(records[0].value)
    assert (document["specversion"], document["source"]) == ("1.0", "/shop/1")
    assert (document["correlationid"], document["traceparent"], document["metadata"]) == ("c-1", "00-1", metadata)
    decoded = [each async for each in store.read_stream(awkward, to_version=1)]
    assert parse(records[0].value, registry) == decoded[0]
    read = EventSource().reader(frozenset({"relay-test-counted"}))
    assert [message and message.body for message in map(read, records)] == [Counted(1), None, Counted(2)]
    assert EventSource().position(records[1]) == stored[1].position


@pytest.mark.parametrize("moment", ["relay.before_commit", "relay.after_commit"])
async def test_killed_at(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable: Readable, start: Start, moment: str
) -> None:
    """A relay that dies at either side of a commit is followed by one that neither loses nor repeats an event."""
    await fill(store, 20)
    await readable(20)
    await Relay(engine, kafka, RelaySettings(batch_events=8)).drain()
    await fill(store, 20)
    await readable(40)
    killed = await start("--drain", REFOLD_FAIL_AT=moment)
    assert await killed.wait() == CRASHED
    done = await Relay(engine, kafka, RelaySettings(batch_events=7)).drain()
    assert done.published == (20 if moment == "relay.before_commit" else 13)
    assert await require_all(store, kafka) == 40


async def test_zombie_is_fenced(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable: Readable, start: Start, tmp_path: Path
) -> None:
    """A relay that is stopped before its commit and wakes when another has taken over writes nothing and says so."""
    await fill(store, 20)
    await readable(20)
    asleep = tmp_path / "asleep"
    zombie = await start("--drain", REFOLD_PAUSE_AT=f"relay.before_commit:{asleep}", REFOLD_RELAY_LEASE_S="1")
    until(asleep.exists, "the relay reaches its commit")
    assert (await Relay(engine, kafka, RelaySettings(batch_events=7)).drain()).published == 20
    zombie.send_signal(signal.SIGCONT)
    _, said = await zombie.communicate()
    assert zombie.returncode == 1
    assert b"Fenced: another relay took over" in said
    assert await require_all(store, kafka) == 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_graceful_stop(
    store: PostgresEventStore, kafka: KafkaSettings, readable: Readable, start: Start, number: signal.Signals
) -> None:
    """A relay that is asked to stop finishes its transaction, says what it did and ends with 0."""
    await fill(store, 10)
    await readable(10)
    running = await start("--json")

    async def all_there() -> bool:
        async with Admin.open(kafka) as admin:
            if await admin.partitions(kafka.events_topic) == 0:
                return False
        return sum(map(len, (await read_topic(kafka)).values())) == 10

    await eventually(all_there, "10 records")
    running.send_signal(number)
    said, _ = await running.communicate()
    assert running.returncode == 0
    assert decode(said)["published"] == 10


async def test_topic_of_another_store(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable: Readable
) -> None:
    """A topic that ends with an event which this store does not have is refused, and nothing is written to it."""
    await fill(store, 3)
    await readable(3)
    await Relay(engine, kafka).drain()
    async with engine.begin() as connection:
        for table in ("event", "stream"):
            await connection.exec_driver_sql(f"ALTER TABLE eventstore.{table} DISABLE TRIGGER USER")
        await connection.exec_driver_sql("TRUNCATE eventstore.event, eventstore.stream")
    await fill(store, 3)
    await readable(3)
    with pytest.raises(PreconditionFailed, match="restored to an earlier state"):
        await Relay(engine, kafka).drain()
    assert sum(map(len, (await read_topic(kafka)).values())) == 3
