"""Topics and what is said about them; the end of a log; transactions that did not commit."""

import asyncio
import re

import pytest

from eventstore.errors import HistoryIncomplete, PreconditionFailed, Unreachable
from eventstore.log.admin import Admin
from eventstore.log.bounds import find_bounds
from eventstore.log.consumer import make_consumer, start_consumer
from eventstore.log.producer import TransactionalProducer
from eventstore.log.tail import read_tail
from eventstore.log.topics import ensure_events_topic
from eventstore.settings import KafkaSettings


async def test_topic_is_made_once_and_kept(kafka: KafkaSettings) -> None:
    """The events topic is made with the configured partitions and keeps every record; asking again changes nothing."""
    assert await ensure_events_topic(kafka) == kafka.events_topic
    assert await ensure_events_topic(kafka) == kafka.events_topic
    async with Admin.open(kafka) as admin:
        assert await admin.partitions(kafka.events_topic) == 3
        configuration = await admin.configuration(kafka.events_topic)
    assert (configuration["cleanup.policy"], configuration["retention.ms"]) == ("delete", "-1")
    assert configuration["max.message.bytes"] == str(kafka.max_message_bytes)


async def test_partitions_never_change(kafka: KafkaSettings) -> None:
    """Another number of partitions is refused with both numbers and the setting's name."""
    await ensure_events_topic(kafka)
    with pytest.raises(PreconditionFailed, match=r"has 3 partitions, REFOLD_KAFKA_PARTITIONS says 4") as refused:
        await ensure_events_topic(kafka.model_copy(update={"partitions": 4}))
    assert refused.value.facts["found"] == 3


async def test_topic_that_forgets(kafka: KafkaSettings) -> None:
    """A topic that is there already but drops or compacts records is refused."""
    async with Admin.open(kafka) as admin:
        assert await admin.create_topic(kafka.events_topic, 3, {"retention.ms": "60000"})
        assert not await admin.create_topic(kafka.events_topic, 3)
    with pytest.raises(HistoryIncomplete, match=r"retention\.ms=60000"):
        await ensure_events_topic(kafka)


async def test_nobody_answers() -> None:
    """A broker that does not answer is named, with what to do."""
    silent = KafkaSettings(bootstrap="127.0.0.1:1", request_timeout_s=2)
    with pytest.raises(Unreachable, match=r"Kafka at 127\.0\.0\.1:1 does not answer"):
        async with Admin.open(silent):
            pass
    with pytest.raises(Unreachable, match="refold up"):
        await TransactionalProducer(silent, "t", "t").start()


async def test_cancelled_while_it_connects() -> None:
    """A producer or consumer whose start is cancelled, as by the end of a worker, is closed and leaves nothing behind."""
    asked = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        settings = KafkaSettings(bootstrap=f"{host}:{port}")
        producer, consumer = TransactionalProducer(settings, "t", "t"), make_consumer(settings, None, bulk=False)
        for start in (producer.start(), start_consumer(consumer, settings)):
            asked.clear()
            starting = asyncio.create_task(start)
            await asyncio.wait_for(asked.wait(), 60)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
    assert (producer._producer._closed, consumer._closed) == (True, True)


async def test_missing_things(kafka: KafkaSettings) -> None:
    """A topic that does not exist has no partitions and no configuration; deleting what is not there is no error."""
    async with Admin.open(kafka) as admin:
        assert await admin.partitions(kafka.events_topic) == 0
        with pytest.raises(PreconditionFailed, match=re.escape(kafka.events_topic)):
            await admin.configuration(kafka.events_topic)
        await admin.delete_topics([kafka.events_topic])
        await admin.delete_group(f"{kafka.topic_prefix}.nobody")


async def test_tail_steps_over_what_was_not_committed(kafka: KafkaSettings) -> None:
    """The tail is the last committed record by partition, before markers, aborted records and whatever is still open."""
    topic = await ensure_events_topic(kafka)
    assert await read_tail(kafka, topic, 3) == {}
    first = TransactionalProducer(kafka, topic, "one")
    await first.start()
    await first.publish([(partition, b"k", b"committed %d" % partition, 1) for partition in (0, 0, 2)])
    for _ in range(5):
        await first.publish([(2, b"k", b"committed later", 1)])

    def fail() -> None:
        raise RuntimeError

    many = [(partition, b"k", b"never committed", 1) for partition in (0, 1, 2) for _ in range(100)]
    with pytest.raises(RuntimeError):
        await first.publish(many, before_commit=fail)
    assert await read_tail(kafka, topic, 3) == {0: b"committed 0", 2: b"committed later"}
    second = TransactionalProducer(kafka, topic, "one")
    await second.start()
    _, ends = await find_bounds(kafka, [(topic, 1)])
    assert ends[topic, 1] == 101
    assert await read_tail(kafka, topic, 3) == {0: b"committed 0", 2: b"committed later"}
    await second.close()
    await first.close()


async def test_records_larger_than_a_batch(kafka: KafkaSettings) -> None:
    """Records that fill several batches arrive in order, also one that is larger than a whole batch."""
    topic = await ensure_events_topic(kafka)
    producer = TransactionalProducer(kafka, topic, "large")
    await producer.start()
    values = [b"%d " % each + b"x" * 200_000 for each in range(12)] + [b"y" * 2_000_000, b"last"]
    await producer.publish([(1, b"k", value, 1) for value in values])
    await producer.close()
    _, ends = await find_bounds(kafka, [(topic, 1)])
    assert ends[topic, 1] == len(values) + 1
    assert await read_tail(kafka, topic, 3) == {1: b"last"}
