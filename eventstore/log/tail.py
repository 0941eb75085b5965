"""The last committed record of every partition: where a writer that keeps no notes stands."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import TopicPartition

from eventstore.errors import TimedOut
from eventstore.log.consumer import make_consumer, start_consumer
from eventstore.settings import KafkaSettings

_FIRST_STEP = 16


async def read_tail(settings: KafkaSettings, topic: str, partitions: int) -> dict[int, bytes]:
    """Give the value of the last committed record by partition; a partition without one is left out.

    A partition ends in transaction markers and perhaps in aborted records, which take offsets too: so this steps back, twice as
    far each time, until it meets a record. The number of *partitions* is asked for, because a consumer that has no metadata yet
    knows of none, and an end that looks empty would be written to again. Raises Unreachable, TimedOut.
    """
    consumer = make_consumer(settings, None, bulk=False)
    await start_consumer(consumer, settings)
    try:
        async with asyncio.timeout(settings.request_timeout_s):
            return await _read_all(consumer, [TopicPartition(topic, each) for each in range(partitions)])
    except TimeoutError:
        raise TimedOut(f"the end of topic {topic} could not be read within {settings.request_timeout_s:g} s") from None
    finally:
        await consumer.stop()


async def _read_all(consumer: Any, wanted: list[TopicPartition]) -> dict[int, bytes]:
    first, end = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
    found: dict[int, bytes] = {}
    step = _FIRST_STEP
    left = [each for each in wanted if end[each] > first[each]]
    while left:
        starts = {each: max(first[each], end[each] - step) for each in left}
        found.update(await _last_values(consumer, starts, end))
        left = [each for each in left if each.partition not in found and starts[each] > first[each]]
        step *= 2
    return found


async def _last_values(consumer: Any, starts: dict[TopicPartition, int], end: dict[TopicPartition, int]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    consumer.assign(list(starts))
    for each, offset in starts.items():
        consumer.seek(each, offset)
    while any([await consumer.position(each) < end[each] for each in starts]):
        records: dict[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=200)
        for each, batch in records.items():
            values = [record.value for record in batch if record.offset < end[each] and record.value is not None]
            if values:
                found[each.partition] = values[-1]
    return found
