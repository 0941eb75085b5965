"""What the tests of the relay read back: the whole topic, compared with the store."""

from typing import Any

from aiokafka import TopicPartition

from eventstore import KafkaSettings
from eventstore.codec import decode
from eventstore.log.bounds import find_bounds
from eventstore.log.consumer import make_consumer, start_consumer
from eventstore.log.partitioner import partition_of
from eventstore.postgres import PostgresEventStore
from tests.faults.records import all_marked


async def read_topic(kafka: KafkaSettings) -> dict[int, list[Any]]:
    """Read all committed records of the events topic, by partition."""
    partitions = [(kafka.events_topic, each) for each in range(kafka.partitions)]
    _, ends = await find_bounds(kafka, partitions)
    found: dict[int, list[Any]] = {each: [] for _, each in partitions}
    wanted = {TopicPartition(*each): end for each, end in ends.items() if end > 0}
    if not wanted:
        return found
    consumer = make_consumer(kafka, None, bulk=True)
    await start_consumer(consumer, kafka)
    consumer.assign(list(wanted))
    for each in wanted:
        consumer.seek(each, 0)
    while any([await consumer.position(each) < end for each, end in wanted.items()]):
        for each, records in (await consumer.getmany(timeout_ms=100)).items():
            found[each.partition] += records
    await consumer.stop()
    return found


async def require_all(store: PostgresEventStore, kafka: KafkaSettings) -> int:
    """Fail unless the topic holds the store's events once each, in the store's order within every partition."""
    expected: dict[int, list[str]] = {each: [] for each in range(kafka.partitions)}
    async for each in store.read_all(decoded=False):
        expected[partition_of(each.stream, kafka.partitions)].append(str(each.id))
    await all_marked(kafka)
    found = await read_topic(kafka)
    assert {each: [decode(record.value)["id"] for record in records] for each, records in found.items()} == expected
    return sum(map(len, expected.values()))
