"""What the relay asks of its topic: as many partitions as it began with, and every record kept by enough brokers."""

import asyncio
import json

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import KafkaSettings, PostgresSettings, RawEvent
from eventstore.cli import main
from eventstore.errors import PreconditionFailed
from eventstore.log.admin import Admin
from eventstore.log.topics import ensure_events_topic
from eventstore.postgres import PostgresEventStore
from eventstore.relay import Relay
from tests.faults.records import all_marked
from tests.stack.waiting import eventually


async def extend(kafka: KafkaSettings, partitions: int) -> None:
    """Give the events topic more partitions, as an administrator might."""
    from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    await client.create_partitions({kafka.events_topic: NewPartitions(partitions)})
    await client.close()
    await has_partitions(kafka, partitions)


async def has_partitions(kafka: KafkaSettings, partitions: int) -> None:
    """Return once brokers know of so many partitions of the events topic."""

    async def known() -> bool:
        async with Admin.open(kafka) as admin:
            return await admin.partitions(kafka.events_topic) == partitions

    await eventually(known, f"{partitions} partitions")


async def trim(kafka: KafkaSettings) -> None:
    """Delete all records of the events topic, as an administrator might."""
    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

    places = [TopicPartition(kafka.events_topic, each) for each in range(kafka.partitions)]
    await all_marked(kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, isolation_level="read_committed")
    await consumer.start()
    ends = await consumer.end_offsets(places)
    await consumer.stop()
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    await client.delete_records({each: RecordsToDelete(before_offset=end) for each, end in ends.items()})
    await client.close()


async def until_published(relay: Relay, count: int) -> None:
    async def look() -> bool:
        return relay.progress.published == count

    await eventually(look, f"{count} published, not {relay.progress}")


@pytest.mark.parametrize("remembered", [True, False])
async def test_extended_topic(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable, remembered: bool
) -> None:
    """A topic that was extended is refused although the setting was raised too, remembered or seen in the records' places."""
    for each in range(20):
        await store.append(f"s{each}", [RawEvent("x", {})])
    await readable(20)
    await Relay(engine, kafka).drain()
    if not remembered:
        async with engine.begin() as connection:
            await connection.exec_driver_sql("DELETE FROM eventstore.topic")
    await extend(kafka, 7)
    with pytest.raises(PreconditionFailed, match="a topic that was extended can't be mended") as refused:
        await Relay(engine, kafka.model_copy(update={"partitions": 7})).drain()
    assert refused.value.exit_code == 3
    with pytest.raises(PreconditionFailed, match="has 7 partitions, REFOLD_KAFKA_PARTITIONS says 3"):
        await Relay(engine, kafka).drain()


async def test_emptied_topic_begins_anew(store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable) -> None:
    """After the topic was deleted, everything may be relayed again into another number of partitions."""
    await store.append("s", [RawEvent("x", {})])
    await readable(1)
    await Relay(engine, kafka).drain()
    wider = kafka.model_copy(update={"partitions": 5, "topic_prefix": f"{kafka.topic_prefix}w"})
    assert (await Relay(engine, wider).drain()).published == 1
    async with Admin.open(wider) as admin:
        await admin.delete_topics([wider.events_topic])
    await has_partitions(wider, 0)
    assert (await Relay(engine, wider.model_copy(update={"partitions": 4})).drain()).published == 1


async def test_trimmed_topic(store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable) -> None:
    """A topic whose records were all deleted is filled again from the first event on, by a relay that was running too."""
    for each in range(20):
        await store.append(f"s{each}", [RawEvent("x", {"n": each})])
    await readable(20)
    assert (await Relay(engine, kafka).drain()).published == 20
    await trim(kafka)
    stop, relay = asyncio.Event(), Relay(engine, kafka)
    running = asyncio.create_task(relay.run(stop))
    await until_published(relay, 20)
    await trim(kafka)
    await store.append("s", [RawEvent("x", {"n": 20})])
    await until_published(relay, 21)
    stop.set()
    await running
    assert (await Relay(engine, kafka).drain()).published == 0


async def test_copies(kafka: KafkaSettings) -> None:
    """The topic is made with the wanted min.insync.replicas; one that asks fewer brokers is refused with both ways out."""
    await ensure_events_topic(kafka)
    async with Admin.open(kafka) as admin:
        assert (await admin.configuration(kafka.events_topic))["min.insync.replicas"] == "1"
    with pytest.raises(PreconditionFailed, match=r"min.insync.replicas=1.*kafka-configs.*REFOLD_KAFKA_MIN_INSYNC=1"):
        await ensure_events_topic(kafka.model_copy(update={"replication": 3}))


def test_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, settings: PostgresSettings, topic_prefix: str
) -> None:
    """`relay --shards` shows that nobody relays, `relay --plan` the partitions for a rate; neither needs a broker."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", settings.dsn.get_secret_value())
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("REFOLD_KAFKA_TOPIC_PREFIX", topic_prefix)
    assert main(["relay", "--shards", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["relays"], shown["free"], shown["shards"]["0"]) == ([], [0, 1, 2, 3], [0, 4])
    assert main(["relay", "--shards"]) == 0
    assert "shard 3 (partitions 3): relayed by nobody" in capsys.readouterr().out
    assert main(["relay", "--plan", "45000"]) == 0
    assert capsys.readouterr().out.startswith("5 partitions for 45000 events a second")
    assert main(["relay", "--plan", "45000", "--read-rate", "0.001", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["partitions"] == 45_000_000
