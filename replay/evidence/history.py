"""The log from one vector to another, exactly, apart from any build: what `why` and `repair` read."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from eventstore.errors import HistoryIncomplete, TimedOut
from eventstore.log.assigned import AssignedReader
from eventstore.log.bounds import find_bounds
from eventstore.log.consumer import Batch
from eventstore.settings import KafkaSettings
from projections.control.checkpoint import Partition, Vector, has_reached
from replay.plan import require_history

POLL_S = 0.25


async def read_history(
    kafka: KafkaSettings, group: str, start: Vector, until: Vector, stall_s: float
) -> AsyncGenerator[Batch, Any]:
    """Give the records from *start* up to *until*, in order within each partition. Commits nothing in the name of *group*.

    Raises TimedOut after *stall_s* seconds in which nothing came although some is due.
    """
    wanted = {each: offset for each, offset in until.items() if offset > start.get(each, 0)}
    if not wanted:
        return
    reader = AssignedReader(kafka, group)
    await reader.open({each: start.get(each, 0) for each in wanted})
    try:
        reader.limit(wanted)
        last = time.monotonic()
        while not has_reached(await reader.seen(), wanted):
            if batch := await reader.poll(POLL_S):
                last = time.monotonic()
                yield batch
            elif time.monotonic() - last > stall_s:
                raise TimedOut(
                    f"the log gave no record for {stall_s:g} s although some are due; look at Kafka, then run this again"
                )
    finally:
        await reader.close()


async def require_whole(kafka: KafkaSettings, partitions: Iterable[Partition]) -> None:
    """Raise HistoryIncomplete unless the log of *partitions* still starts at offset zero."""
    wanted = sorted(partitions)
    first, end = await find_bounds(kafka, wanted)
    try:
        require_history({each: (first[each], end[each]) for each in wanted})
    except HistoryIncomplete as error:
        raise HistoryIncomplete(f"{error} Rows can't be explained or refolded from what is left.", **error.facts) from None
