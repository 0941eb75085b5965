"""Writing down what follows from a batch, in the transaction that writes its rows; and which topic a projection reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from eventstore.codec import decode
from eventstore.errors import PreconditionFailed
from eventstore.log.topics import ensure_topic
from eventstore.postgres.engine import Connection
from eventstore.settings import KafkaSettings
from eventstore.stream import Position
from projections.control.catalogue import find_live
from projections.control.generation import Generation, State
from projections.control.outbox import insert_derived, list_readers, take_numbers
from projections.declaration.chain import find_source, find_upstream
from projections.declaration.emission import DerivedSource, name_derived
from projections.declaration.projection import Projection
from projections.fold.trace import Fact, write_facts

DERIVES = "derives"
"""Under this name a generation notes how many partitions its derived topic has."""


def find_derived(generation: Generation) -> str | None:
    """Name the topic of what *generation* derives; None = nothing, as one that was built by `--until` for a look at the past."""
    return name_derived(generation.consumer_group) if DERIVES in generation.detail else None


async def is_over(connection: Connection, generation: Generation) -> bool:
    """Say whether nobody feeds *generation* any more: its grace time has ended, and nobody reads what it derives."""
    if generation.state is not State.RETIRED or generation.retire_at is None or generation.retire_at >= datetime.now(UTC):
        return False
    topic = find_derived(generation)
    return topic is None or not await list_readers(connection, topic)


async def write_derived(connection: Connection, generation: Generation, facts: Sequence[Fact]) -> None:
    """Write *facts* down, numbered, in the caller's transaction, which holds the checkpoints of their partitions."""
    if not facts or find_derived(generation) is None:
        return
    newest = {each.record.partition: each.record for each in facts}
    positions = {number: Position.parse(decode(record.value or b"")["position"]) for number, record in newest.items()}
    partitions = [each.record.partition for each in facts]
    first = await take_numbers(connection, generation.id, partitions, positions)
    source = f"projections/{generation.projection}/g{generation.number}"
    await insert_derived(connection, generation.id, write_facts(facts, generation.projection, source, first))


def note_deriving(projection: Projection, topics: Mapping[str, int], names: Mapping[str, str]) -> dict[str, int]:
    """Give what a new generation notes of what it derives: as many partitions as the source has, *names* being its topic by source."""
    source = find_source(projection)
    return {} if source is None else {DERIVES: topics[names[source.name]]}


def name_topics(projection: Projection, settings: KafkaSettings, counted: Iterable[str] = ()) -> dict[str, str]:
    """Give the topic of each source of *projection*, by the source's name.

    *counted* are the topics whose offsets a generation counts: a derived one is the topic of one generation, and stays so.
    Raises PreconditionFailed for a derived source that is none of them.
    """
    topics = list(counted)
    return {
        each.name: _find(each, topics) if isinstance(each, DerivedSource) else each.topic(settings) for each in projection.sources
    }


def _find(source: DerivedSource, topics: Sequence[str]) -> str:
    found = source.find(topics)
    if found is None:
        raise PreconditionFailed(
            f"nothing of {source.projection} is live yet that derives anything: start `projections run` with it, or replay it first",
            upstream=source.projection,
        )
    return found


async def bind_topics(connection: Connection, projection: Projection, kafka: KafkaSettings) -> dict[str, str]:
    """Give the topic of each source that a new generation of *projection* has to read: of derived ones what the live generation derives.

    It makes those topics, if they are missing. Raises PreconditionFailed when a projection that it reads has nothing live.
    """
    counted: list[str] = []
    for source in projection.sources:
        live = await find_live(connection, source.projection) if isinstance(source, DerivedSource) else None
        if live is not None and (topic := find_derived(live)) is not None:
            await ensure_topic(kafka, topic, live.detail[DERIVES])
            counted.append(topic)
    return name_topics(projection, kafka, counted)


async def find_stale(connection: Connection, projection: Projection) -> list[str]:
    """Say which sources of the live generation of *projection* were derived by a generation that is live no more."""
    mine = await find_live(connection, projection.name)
    lines: list[str] = []
    for name, source in find_upstream(projection).items():
        live = await find_live(connection, name)
        read = source.find(mine.topics) if mine else None
        if mine and live and read and read != find_derived(live):
            command = f"replay --projection {projection.name} --from-beginning"
            lines.append(f"{mine} reads {read}, and {live} is live: `{command}` lets it follow")
    return lines
