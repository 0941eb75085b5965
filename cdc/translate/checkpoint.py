"""Where a translation stands in the log, in the database of the events, so that both move in one transaction.

Claiming a partition raises its epoch, and only a checkpoint with the claimer's epoch, at the offset that it expects, moves: who slept
through a rebalance records nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import Fenced, HistoryIncomplete, UsageError
from eventstore.log.consumer import Partition
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.statements import load

_HERE = "cdc"


class Held(NamedTuple):
    """A partition in our hands: where it stands, and the epoch that a move must carry."""

    next_offset: int
    epoch: int


async def claim_partitions(
    engine: AsyncEngine, name: str, starts: Mapping[Partition, int], owner: str, topic_ids: Mapping[str, UUID]
) -> dict[Partition, Held]:
    """Take over the partitions of *starts*, which says where those begin that were never claimed.

    Raises HistoryIncomplete when a topic was deleted and made anew, so that the checkpoint's offsets mean nothing in it.
    """
    wanted = sorted(starts)
    values = {
        "name": name,
        "owner": owner,
        "topics": [topic for topic, _ in wanted],
        "partitions": [partition for _, partition in wanted],
        "starts": [starts[each] for each in wanted],
        "ids": [topic_ids.get(topic) for topic, _ in wanted],
    }
    async with checkout(engine) as connection:
        rows = await (await connection.execute(load(_HERE, "claim_translation"), values)).fetchall()
    for topic, _, offset, _, known in rows:
        if offset and known is not None and topic_ids.get(topic, known) != known:
            raise HistoryIncomplete(
                f"topic {topic} was deleted and made anew since translation {name!r} stood at offset {offset} of it. Its events keep their "
                f"ids, so it may begin again under another name=; what the new topic repeats is then recorded a second time.",
                topic=topic,
            )
    return {(topic, partition): Held(offset, epoch) for topic, partition, offset, epoch, _ in rows}


async def advance_partitions(
    connection: Connection, name: str, held: Mapping[Partition, Held], offsets: Mapping[Partition, int]
) -> None:
    """Move checkpoints to *offsets* within the open transaction. Raises Fenced when a partition has another owner by now."""
    wanted = sorted(offsets)
    values = {
        "name": name,
        "topics": [topic for topic, _ in wanted],
        "partitions": [partition for _, partition in wanted],
        "epochs": [held[each].epoch for each in wanted],
        "expected": [held[each].next_offset for each in wanted],
        "next": [offsets[each] for each in wanted],
    }
    if (await connection.execute(load(_HERE, "advance_translation"), values)).rowcount != len(wanted):
        raise Fenced(f"translation {name!r} has another owner of a partition now; nothing of this batch was recorded")


async def block_partition(engine: AsyncEngine, name: str, partition: Partition, held: Held, offset: int, reason: str) -> None:
    """Say that the translation stands still at *offset*, and why."""
    values = {
        "name": name,
        "topic": partition[0],
        "partition": partition[1],
        "epoch": held.epoch,
        "blocked": offset,
        "reason": reason[:2_000],
    }
    async with checkout(engine) as connection:
        await connection.execute(load(_HERE, "block_translation"), values)


async def skip_record(engine: AsyncEngine, name: str) -> dict[Partition, int]:
    """Let *name* pass over the records that it stands still at; gives where it goes on. Raises UsageError when there is none."""
    async with checkout(engine) as connection:
        rows = await (await connection.execute(load(_HERE, "skip_translation"), {"name": name})).fetchall()
    if not rows:
        raise UsageError(f"translation {name!r} does not stand still at a record: see `cdc translate --list`")
    return {(topic, partition): offset for topic, partition, offset in rows}


async def list_translations(engine: AsyncEngine) -> list[dict[str, Any]]:
    """Give where every translation that ever ran stands, and why one stands still."""
    names: Iterable[str] = ("name", "topic", "partition", "next_offset", "owner", "updated_at", "reason")
    async with checkout(engine) as connection:
        rows = await (await connection.execute(load(_HERE, "list_translations"))).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]
