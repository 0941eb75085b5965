"""What a generation derived and the log may not have yet: written in the caller's transaction, forgotten when it is published.

Numbers run on by partition without gaps, under the lock of the partition's checkpoint: so the last number in the log says what is there,
and what comes next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from eventstore.stream import Position

PACKAGE = "projections"


class Derived(NamedTuple):
    """A derived event on its way into the log, the *number*th of its partition."""

    partition: int
    number: int
    timestamp: int
    key: bytes
    value: bytes


class Stand(NamedTuple):
    """How many events a partition's generation derived, and how many of them are *waiting* to be published."""

    number: int
    waiting: int


async def take_numbers(
    connection: Connection, generation: int, partitions: Sequence[int], positions: Mapping[int, Position | None]
) -> dict[int, int]:
    """Count the derived events of *partitions* (one entry an event), and give each partition's first number.

    *positions*: what the newest event of each partition follows from. Partitions are counted in their order, so that two workers never
    wait for each other.
    """
    counts = Counter(partitions)
    wanted = sorted(counts)
    places = [positions.get(each) for each in wanted]
    values = {
        "generation": generation,
        "partitions": wanted,
        "counts": [counts[each] for each in wanted],
        "xids": [each and each.xid for each in places],
        "sequences": [each and each.sequence for each in places],
    }
    rows = await (await connection.execute(load(PACKAGE, "number_derived"), values)).fetchall()
    return {partition: following - counts[partition] for partition, following in rows}


async def insert_derived(connection: Connection, generation: int, derived: Sequence[Derived]) -> None:
    """Write *derived* down."""
    values = {
        "generation": generation,
        "partitions": [each.partition for each in derived],
        "numbers": [each.number for each in derived],
        "timestamps": [each.timestamp for each in derived],
        "keys": [each.key for each in derived],
        "values": [each.value for each in derived],
    }
    await connection.execute(load(PACKAGE, "insert_derived"), values)


async def read_derived(connection: Connection, generation: int, stands: Mapping[int, int], most: int) -> list[Derived]:
    """Give up to *most* events of each partition that come after its number in *stands*, in their order."""
    values = {"generation": generation, "partitions": list(stands), "numbers": list(stands.values()), "most": most}
    rows = await (await connection.execute(load(PACKAGE, "read_derived"), values)).fetchall()
    return [Derived(partition, number, at, bytes(key), bytes(value)) for partition, number, at, key, value in rows]


async def delete_derived(connection: Connection, generation: int, stands: Mapping[int, int]) -> None:
    """Forget what the log has: everything up to the number of each partition in *stands*."""
    values = {"generation": generation, "partitions": list(stands), "numbers": list(stands.values())}
    await connection.execute(load(PACKAGE, "delete_derived"), values)


async def read_stands(connection: Connection, generation: int) -> dict[int, Stand]:
    """Give where each partition stands that anything was derived in."""
    rows = await (await connection.execute(load(PACKAGE, "read_stands"), {"generation": generation})).fetchall()
    return {partition: Stand(number, waiting) for partition, number, waiting in rows}


async def drop_derived(connection: Connection, generation: int) -> None:
    """Forget everything about what a generation derived."""
    await connection.execute(load(PACKAGE, "drop_derived"), {"generation": generation})


async def list_readers(connection: Connection, topic: str) -> list[str]:
    """Name the generations that read derived *topic* and are fed, or built."""
    rows = await (await connection.execute(load(PACKAGE, "list_readers"), {"topic": topic})).fetchall()
    return [f"{projection} g{number} ({state})" for projection, number, state in rows]
