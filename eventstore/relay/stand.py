"""How far each shard of the topic is, read from the log; no relay keeps notes that could be wrong.

A transaction of a shard holds all of the shard's events of a range of positions, so its newest record says where it stands. A
shard whose streams have been quiet for long would be read again from far back: a note beside the topic, written now and then
after the fact, spares that. A note is true for ever, whoever wrote it, so it needs no fence.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import decode
from eventstore.errors import PreconditionFailed
from eventstore.log.notes import read_notes, write_notes
from eventstore.log.partitioner import partition_of
from eventstore.log.tail import read_tail
from eventstore.log.topics import refuse_moved
from eventstore.log.wire import position_of
from eventstore.postgres.pages import find_event
from eventstore.postgres.routes import Route
from eventstore.postgres.topics import settle_partitions
from eventstore.relay.share import END, count_shards, find_partitions
from eventstore.settings import KafkaSettings
from eventstore.stream import START, Position


async def find_stands(engine: AsyncEngine, kafka: KafkaSettings, route: Route | None) -> dict[int, Position] | None:
    """Give where each shard stands; None = nothing was ever published, and routes of the past do not count.

    Raises PreconditionFailed when the topic is not this store's, or began with another number of partitions.
    """
    topic, partitions = kafka.events_topic, kafka.partitions
    tails = await read_tail(kafka, topic, partitions)
    _check_began(await settle_partitions(engine, topic, partitions, empty=not tails), kafka)
    if not tails:
        return None
    _check_places(tails, kafka)
    await _check_store(engine, topic, tails.values())
    notes = await read_notes(kafka, topic, note_group(topic))
    positions = {partition: position_of(document) for partition, document in tails.items()}
    if route and not route.settled and any(each.sequence > route.after for each in positions.values()):
        return dict.fromkeys(range(count_shards(partitions)), END)
    return {
        shard: _find_stand(find_partitions(shard, partitions), positions, notes, route)
        for shard in range(count_shards(partitions))
    }


def _find_stand(own: range, positions: dict[int, Position], notes: dict[int, str], route: Route | None) -> Position:
    """Give where the shard of the partitions *own* stands; records that Debezium wrote lie in another order and do not count."""
    found = [positions[each] for each in own if each in positions]
    noted = [Position.parse(notes[each]) for each in own if each in notes]
    if route is None or not route.settled or route.until is None:
        return max([START, *found, *noted])
    return max([route.floor, *noted, *(each for each in found if each.sequence > route.until)])


def note_group(topic: str) -> str:
    """Give the name of the group that carries the notes."""
    return f"{topic}.relay"


async def note_stands(kafka: KafkaSettings, stands: dict[int, Position]) -> None:
    """Write down where shards stand; failing is no harm."""
    topic = kafka.events_topic
    await write_notes(
        kafka, topic, note_group(topic), {shard: str(stand) for shard, stand in stands.items() if START < stand < END}
    )


def _check_began(began: int, kafka: KafkaSettings) -> None:
    if began != kafka.partitions:
        refuse_moved(
            kafka.events_topic, f"began with {began} partitions and REFOLD_KAFKA_PARTITIONS={kafka.partitions} agrees with it now"
        )


def _check_places(tails: dict[int, bytes], kafka: KafkaSettings) -> None:
    """Refuse a topic that was extended before this database took note of how it began."""
    for partition, document in tails.items():
        stream = decode(document)["subject"]
        if (wanted := partition_of(stream, kafka.partitions)) != partition:
            refuse_moved(kafka.events_topic, f"has stream {stream!r} in partition {partition}, and it belongs in {wanted} now")


async def _check_store(engine: AsyncEngine, topic: str, tails: Iterable[bytes]) -> None:
    position, document = max((position_of(each), each) for each in tails)
    event_id = decode(document)["id"]
    found = await find_event(engine, position)
    if found != event_id:
        raise PreconditionFailed(
            f"topic {topic} ends with event {event_id} at position {position}, where this store has {found or 'none'}: "
            "the topic belongs to another database, or the database was restored to an earlier state. Choose another "
            "REFOLD_KAFKA_TOPIC_PREFIX, or delete the topic to relay everything again.",
            topic=topic,
            position=str(position),
        )
