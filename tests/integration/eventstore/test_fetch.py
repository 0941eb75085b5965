"""The fast drain gives exactly what aiokafka's own `getmany` gives."""

import random

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from eventstore.log.admin import Admin
from eventstore.log.fetch import fetch
from eventstore.settings import KafkaSettings

PARTITIONS = 2


async def write_transactions(settings: KafkaSettings, topic: str, seed: int) -> int:
    """Write transactions of random size, a third of them aborted, and give how many records were committed."""
    chance, committed = random.Random(seed), 0
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap, transactional_id=topic, compression_type="lz4")
    await producer.start()
    for number in range(30):
        await producer.begin_transaction()
        size = chance.randrange(0, 20)
        for each in range(size):
            value = f"{number}.{each}".encode()
            await producer.send(topic, value, key=value[:1], partition=chance.randrange(PARTITIONS), headers=[("n", b"1")])
        await producer.flush()
        if chance.random() < 0.33:
            await producer.abort_transaction()
        else:
            await producer.commit_transaction()
            committed += size
    await producer.stop()
    return committed


async def read_all(settings: KafkaSettings, topic: str, *, fast: bool) -> dict[tuple[str, int], list[tuple[object, ...]]]:
    """Read *topic* to its end, by one way or the other."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap, isolation_level="read_committed", max_partition_fetch_bytes=512
    )
    await consumer.start()
    wanted = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer.assign(wanted)
    for each in wanted:
        consumer.seek(each, 3)
    ends = await consumer.end_offsets(wanted)
    found: dict[tuple[str, int], list[tuple[object, ...]]] = {}
    while any([await consumer.position(each) < ends[each] for each in wanted]):
        batch = await fetch(consumer, 0.2) if fast else await consumer.getmany(timeout_ms=200)
        for (name, number), records in batch.items():
            rows = [(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in records]
            found.setdefault((name, number), []).extend(rows)
    await consumer.stop()
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_drain_equals_getmany(kafka_bootstrap: str, topic_prefix: str, seed: int) -> None:
    """Committed, aborted and empty transactions give the same records, offsets and positions either way."""
    settings = KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=topic_prefix)
    async with Admin.open(settings) as admin:
        await admin.create_topic(settings.events_topic, PARTITIONS)
    committed = await write_transactions(settings, settings.events_topic, seed)

    stock = await read_all(settings, settings.events_topic, fast=False)
    fast = await read_all(settings, settings.events_topic, fast=True)

    assert stock == fast
    assert 0 < sum(map(len, fast.values())) <= committed
