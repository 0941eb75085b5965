"""What the log holds: the partitions of topics, and where each begins and ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aiokafka import TopicPartition

from eventstore.errors import TopicMissing
from eventstore.log.consumer import Partition, make_consumer, start_consumer
from eventstore.settings import KafkaSettings


async def find_partitions(settings: KafkaSettings, topics: Sequence[str]) -> dict[str, int]:
    """Give each topic's number of partitions. Raises TopicMissing that names those which do not exist."""
    consumer = make_consumer(settings, None, bulk=False)
    await start_consumer(consumer, settings)
    try:
        cluster = await consumer._client.fetch_all_metadata()
        known = {each: len(cluster.partitions_for_topic(each) or ()) for each in topics}
    finally:
        await consumer.stop()
    missing = [each for each in topics if not known.get(each)]
    if missing:
        raise TopicMissing(
            f"topic {', '.join(missing)} does not exist on {settings.bootstrap}: start `eventstore relay` for events, "
            "`cdc apply` for captured tables, and check REFOLD_KAFKA_TOPIC_PREFIX",
            missing=missing,
        )
    return known


async def find_bounds(
    settings: KafkaSettings, partitions: Iterable[Partition]
) -> tuple[dict[Partition, int], dict[Partition, int]]:
    """Give the first and the end offset of each partition."""
    consumer = make_consumer(settings, None, bulk=False)
    await start_consumer(consumer, settings)
    try:
        wanted = [TopicPartition(*each) for each in partitions]
        first, end = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
    finally:
        await consumer.stop()
    return {(p.topic, p.partition): o for p, o in first.items()}, {(p.topic, p.partition): o for p, o in end.items()}


async def find_offsets(settings: KafkaSettings, times: Mapping[Partition, int]) -> dict[Partition, int]:
    """Give the offset of the first record of each partition that is dated at its time (ms) or later; none = all are earlier."""
    consumer = make_consumer(settings, None, bulk=False)
    await start_consumer(consumer, settings)
    try:
        found = await consumer.offsets_for_times({TopicPartition(*each): time for each, time in times.items()})
    finally:
        await consumer.stop()
    return {(each.topic, each.partition): place.offset for each, place in found.items() if place is not None}
