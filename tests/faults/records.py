"""The log as a test sees it at the end: every committed record of the events topic, decoded, and judged beside what the store holds."""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from eventstore import KafkaSettings
from eventstore.codec import decode
from eventstore.log.bounds import find_bounds
from eventstore.log.consumer import make_consumer, start_consumer
from eventstore.postgres import PostgresEventStore
from tests.faults.checker import examine
from tests.faults.operations import Operation
from tests.stack.waiting import eventually


async def all_marked(kafka: KafkaSettings) -> None:
    """Return once no transaction of the events topic is open: a broker writes markers a moment after it said committed."""
    wanted = [TopicPartition(kafka.events_topic, each) for each in range(kafka.partitions)]
    seen, written = (
        AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, isolation_level=each)
        for each in ("read_committed", "read_uncommitted")
    )

    async def are_marked() -> bool:
        return await seen.end_offsets(wanted) == await written.end_offsets(wanted)

    async with seen, written:
        await eventually(are_marked, "markers of every transaction")


async def read_records(kafka: KafkaSettings) -> list[dict[str, Any]]:
    """Read all committed records, partition by partition, each with its `partition` and `offset`."""
    bounds, ends = await find_bounds(kafka, [(kafka.events_topic, each) for each in range(kafka.partitions)])
    wanted = {TopicPartition(*each): end for each, end in ends.items() if end > bounds[each]}
    if not wanted:
        return []
    consumer = make_consumer(kafka, None, bulk=True)
    await start_consumer(consumer, kafka)
    consumer.assign(list(wanted))
    for each in wanted:
        consumer.seek(each, bounds[each.topic, each.partition])
    found: list[dict[str, Any]] = []
    try:
        while any([await consumer.position(each) < end for each, end in wanted.items()]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [{**decode(record.value), "partition": record.partition, "offset": record.offset} for record in records]
    finally:
        await consumer.stop()
    return sorted(found, key=lambda record: (record["partition"], record["offset"]))


async def judge_log(store: PostgresEventStore, kafka: KafkaSettings) -> int:
    """Demand that the checker finds nothing wrong with the log, each event of *store* in it once, and give how many there are."""
    stored = [each async for each in store.read_all(decoded=False)]
    operations = [
        Operation("store", "ok", "append", stream=each.stream, version=each.version, event_id=str(each.id)) for each in stored
    ]
    await all_marked(kafka)
    for each in await read_records(kafka):
        place = {"partition": each["partition"], "offset": each["offset"]}
        facts = {"stream": each["subject"], "version": each["streamversion"], "event_id": each["id"]}
        operations.append(Operation("reader", "ok", "publish", **place, **facts))
    report = examine([*operations, Operation("reader", "ok", "caught_up")])
    assert (report.violations, report.notes) == ([], [])
    return len(stored)
