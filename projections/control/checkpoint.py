"""Where a generation is, per partition, and who may move it.

`next_offset` is always the last applied record's offset + 1, so that two generations with equal vectors have applied exactly
the same records. `epoch` fences: claiming a partition raises it, and `advance` moves only a checkpoint that still has the
claimer's epoch and the offset it expects. A worker that slept through a rebalance therefore writes nothing. Source: research on
zombies (Kleppmann, fencing tokens), ADR 0005.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from eventstore.errors import Fenced, HistoryIncomplete
from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from eventstore.stream import Position

Partition = tuple[str, int]
Vector = dict[Partition, int]
PACKAGE = "projections"


class Claim(NamedTuple):
    """A partition in this process's hands: where it stands and the epoch that its writes must carry."""

    next_offset: int
    epoch: int


class Advance(NamedTuple):
    """A partition's move: to *next_offset*, having seen the log up to *seen_offset*, the last event being at *position*."""

    next_offset: int
    seen_offset: int
    position: Position | None


async def claim(
    connection: Connection,
    generation: int,
    partitions: Iterable[Partition],
    owner: str,
    topic_ids: Mapping[str, UUID] | None = None,
) -> dict[Partition, Claim]:
    """Take over *partitions*: raise their epoch, so that any earlier owner is fenced, and give where they stand.

    *topic_ids* are Kafka's ids of the topics as they are now. Raises HistoryIncomplete when a checkpoint counts the offsets of a topic
    that was deleted and made anew since: roll back.
    """
    wanted, ids = sorted(partitions), topic_ids or {}
    values = {
        "generation": generation,
        "topics": [topic for topic, _ in wanted],
        "partitions": [partition for _, partition in wanted],
        "ids": [ids.get(topic) for topic, _ in wanted],
        "owner": owner,
    }
    rows = await (await connection.execute(load(PACKAGE, "claim_checkpoint"), values)).fetchall()
    for topic, _, offset, _, known in rows:
        if known is not None and offset and ids.get(topic, known) != known:
            raise refuse_anew(topic)
    return {(topic, partition): Claim(offset, epoch) for topic, partition, offset, epoch, _ in rows}


def refuse_anew(topic: str) -> HistoryIncomplete:
    """Say that *topic* is another one than the checkpoint counts, and the way out."""
    return HistoryIncomplete(
        f"topic {topic} was deleted and made anew since its checkpoint was written, so the offsets there mean nothing in it. Nothing was "
        "applied from it. When it holds the whole history again, as after `eventstore relay` from the beginning, rebuild with "
        "`replay --projection … --from-beginning`.",
        topic=topic,
    )


async def require_held(connection: Connection, generation: int, partition: Partition, held: Claim) -> None:
    """Lock the checkpoint of *partition* in the caller's transaction. Raises Fenced when it is no longer as *held* says."""
    values = {
        "generation": generation,
        "topic": partition[0],
        "partition": partition[1],
        "epoch": held.epoch,
        "expected": held.next_offset,
    }
    if await (await connection.execute(load(PACKAGE, "require_held"), values)).fetchone() is None:
        raise Fenced(f"{partition[0]}[{partition[1]}] of generation {generation} has a newer owner; this worker joins again")


def _name_held(generation: int, held: Mapping[Partition, Claim], wanted: Sequence[Partition]) -> dict[str, Any]:
    """Give the parameters that name the partitions *wanted* with the epochs of their claims, in that order."""
    return {
        "generation": generation,
        "topics": [topic for topic, _ in wanted],
        "partitions": [partition for _, partition in wanted],
        "epochs": [held[each].epoch for each in wanted],
    }


async def is_held(connection: Connection, generation: int, held: Mapping[Partition, Claim]) -> bool:
    """Say whether nobody has taken any of *held* over, wherever they stand by now."""
    row = await (await connection.execute(load(PACKAGE, "count_held"), _name_held(generation, held, sorted(held)))).fetchone()
    return row is not None and row[0] == len(held)


async def advance(
    connection: Connection, generation: int, held: Mapping[Partition, Claim], moves: Mapping[Partition, Advance]
) -> None:
    """Move the checkpoints of *moves* in the caller's transaction.

    Raises Fenced when any of them has another epoch or offset than *held* says: roll back, drop what is in memory, claim again.
    """
    wanted = sorted(moves)
    values = {
        **_name_held(generation, held, wanted),
        "expected": [held[each].next_offset for each in wanted],
        "next": [moves[each].next_offset for each in wanted],
        "seen": [moves[each].seen_offset for each in wanted],
        "xids": [_number(moves[each].position, 0) for each in wanted],
        "sequences": [_number(moves[each].position, 1) for each in wanted],
    }
    cursor = await connection.execute(load(PACKAGE, "advance_checkpoint"), values)
    if cursor.rowcount != len(wanted):
        raise Fenced(
            f"{len(wanted) - cursor.rowcount} of {len(wanted)} partitions of generation {generation} have a newer owner; "
            "nothing of this batch was written, and this worker joins again"
        )


def _number(position: Position | None, index: int) -> int | None:
    return None if position is None else position[index]


async def note_seen(
    connection: Connection, generation: int, held: Mapping[Partition, Claim], seen: Mapping[Partition, int]
) -> None:
    """Note how far the log was read where nothing was applied (transaction markers, other types), and that the owner is alive.

    Raises Fenced when a partition has a newer owner: an idle worker learns it so.
    """
    wanted = sorted(seen)
    values = {**_name_held(generation, held, wanted), "seen": [seen[each] for each in wanted]}
    cursor = await connection.execute(load(PACKAGE, "note_seen"), values)
    if cursor.rowcount != len(wanted):
        raise Fenced(f"{len(wanted) - cursor.rowcount} of {len(wanted)} partitions of generation {generation} have a newer owner")


async def read_vector(connection: Connection, generation: int, *, lock: bool = False) -> Vector:
    """Give the generation's offset vector; *lock* holds all its writers back until the transaction ends."""
    statement = load(PACKAGE, "lock_vector") if lock else load(PACKAGE, "read_vector")
    rows = await (await connection.execute(statement, {"generation": generation})).fetchall()
    return {(topic, partition): offset for topic, partition, offset in rows}


async def read_seen(connection: Connection, generation: int) -> Vector:
    """Give how far each partition of the log was read, markers included; end offset minus this is the lag."""
    rows = await (await connection.execute(load(PACKAGE, "read_seen"), {"generation": generation})).fetchall()
    return {(topic, partition): offset for topic, partition, offset in rows}


class Standing(NamedTuple):
    """Where one partition of a generation stands: whose it is, and how many seconds ago its owner last said so (each second it does)."""

    next_offset: int
    seen_offset: int
    epoch: int
    owner: str
    age_s: float


async def read_owners(connection: Connection, generation: int) -> dict[Partition, Standing]:
    """Give where each partition that was ever claimed stands."""
    rows = await (await connection.execute(load(PACKAGE, "read_owners"), {"generation": generation})).fetchall()
    return {(topic, partition): Standing(*standing) for topic, partition, *standing in rows}


class Counted(NamedTuple):
    """A topic whose offsets a *generation* counts; *topic_id* is the topic's own as it was then, None where nobody knows."""

    generation: int
    topic: str
    topic_id: UUID | None
    next_offset: int


async def read_counted(connection: Connection, topics: Iterable[str]) -> list[Counted]:
    """Give which generations that are fed or built count the offsets of *topics*."""
    rows = await (await connection.execute(load(PACKAGE, "read_counted"), {"topics": sorted(topics)})).fetchall()
    return [Counted(generation, topic, UUID(known) if known else None, offset) for generation, topic, known, offset in rows]


async def restart(connection: Connection, generation: int, topic: str) -> None:
    """Count *topic* from its first record again: only for one that was lost and is filled anew by a snapshot."""
    await connection.execute(load(PACKAGE, "restart_checkpoint"), {"generation": generation, "topic": topic})


def has_reached(here: Mapping[Partition, int], there: Mapping[Partition, int]) -> bool:
    """Say whether vector *here* is at or past *there* in every partition of *there*."""
    return all(here.get(each, 0) >= offset for each, offset in there.items())
