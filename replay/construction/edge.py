"""Where the log of events begins when its beginning is gone: for each shortened partition, its first kept offset and the event there.

What lies before that event lies in the store, in the same order, because the relay writes each partition in the store's order. So the two
meet at an exact place: the store's events of the partition up to the edge, then the log from its first kept offset.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from eventstore.errors import HistoryIncomplete
from eventstore.log.assigned import AssignedReader
from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from eventstore.settings import KafkaSettings
from eventstore.stream import Position
from projections.control.checkpoint import Partition
from projections.control.generation import Generation
from projections.declaration.projection import EVENTS

POLL_S = 0.25


class Edge(NamedTuple):
    """The first *offset* that the log keeps, and the *position* of the first event that is no longer the store's to give.

    *following* is the offset that a checkpoint has after the store's last event: *offset*, or what a generation has that read the log
    while it was whole.
    """

    offset: int
    position: Position
    following: int


Edges = Mapping[Partition, Edge]


def note_edges(edges: Edges) -> list[list[Any]]:
    """Give *edges* as a generation notes them: a build that goes on must meet the log where it began to."""
    return [[topic, number, each.offset, *each.position, each.following] for (topic, number), each in sorted(edges.items())]


def recall_edges(noted: Iterable[list[Any]]) -> dict[Partition, Edge]:
    """Read what `note_edges` wrote."""
    return {
        (topic, number): Edge(offset, Position(xid, sequence), following)
        for topic, number, offset, xid, sequence, following in noted
    }


async def find_edges(
    kafka: KafkaSettings,
    first: Mapping[Partition, int],
    end: Mapping[Partition, int],
    applied: Mapping[Partition, tuple[Position, int]],
    stall_s: float,
) -> dict[Partition, Edge]:
    """Find the edge of every partition of the events' topic that no longer starts at zero.

    *applied* gives the last event, and the offset after it, of partitions that some generation has read to their end: for those that
    hold no event any more.
    Raises HistoryIncomplete for such a partition that nothing is known of, since what the relay has written there can't be told.
    """
    cut = [each for each, offset in first.items() if offset > 0 and each[0] == EVENTS.topic(kafka)]
    if not cut:
        return {}
    found = await _read_first(kafka, {each: first[each] for each in cut}, end, stall_s)
    edges: dict[Partition, Edge] = {}
    for each in cut:
        if each in found:
            edges[each] = Edge(first[each], found[each], first[each])
        elif each in applied:
            last, following = applied[each]
            edges[each] = Edge(first[each], last._replace(sequence=last.sequence + 1), following)
        else:
            raise HistoryIncomplete(
                f"{each[0]}[{each[1]}] starts at {first[each]:,}, holds no event any more, and no live generation has read it to its "
                "end: where the log goes on can't be told. Append an event to one of its streams and run this again."
            )
    return edges


async def read_applied(
    connection: Connection, live: Generation | None, end: Mapping[Partition, int]
) -> dict[Partition, tuple[Position, int]]:
    """Give the last event, and the offset after it, of each partition that the live generation has read to its *end*."""
    if live is None:
        return {}
    rows = await (await connection.execute(load("replay", "read_applied"), {"generation": live.id})).fetchall()
    return {
        (topic, number): (Position(xid, sequence), following)
        for topic, number, xid, sequence, seen, following in rows
        if seen >= end.get((topic, number), 0)
    }


async def _read_first(
    kafka: KafkaSettings, start: Mapping[Partition, int], end: Mapping[Partition, int], stall_s: float
) -> dict[Partition, Position]:
    """Give the position of the first event at or after *start* in each partition that holds one before *end*."""
    reader = AssignedReader(kafka, f"{kafka.topic_prefix}.edges")
    await reader.open(start)
    found: dict[Partition, Position] = {}
    until = time.monotonic() + stall_s
    try:
        while time.monotonic() < until:
            for each, records in (await reader.poll(POLL_S)).items():
                positions = (EVENTS.position(record) for record in records)
                if each not in found and (position := next(filter(None, positions), None)) is not None:
                    found[each] = position
            seen = await reader.seen()
            if all(each in found or seen.get(each, 0) >= end[each] for each in start):
                return found
    finally:
        await reader.close()
    raise HistoryIncomplete(f"the log gave no record for {stall_s:g} s, so where it begins can't be told; look at Kafka")
