"""Fetched records that were not handed out yet: a fetch brings as much as it brings, a batch is bounded. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eventstore.source import Record

Partition = tuple[str, int]
Batch = dict[Partition, Sequence[Record]]


class Backlog:
    """Records per partition, in order; `take` gives the next ones of every partition in turn."""

    def __init__(self) -> None:
        self._records: Batch = {}

    def __bool__(self) -> bool:
        return bool(self._records)

    def put(self, batch: Mapping[Partition, Sequence[Record]]) -> None:
        """Take over what was fetched; only when the backlog is empty, so that offsets stay in order."""
        if self._records:
            raise AssertionError("the backlog must be handed out before more is fetched")
        self._records = {each: records for each, records in batch.items() if records}

    def clear(self) -> None:
        """Forget all of it."""
        self._records = {}

    def first_offsets(self) -> dict[Partition, int]:
        """Give the offset of the first record of each partition: so far was it handed out."""
        return {each: records[0].offset for each, records in self._records.items()}

    def take(self, most_records: int, most_bytes: int) -> Batch:
        """Give the next records, *most_records* and about *most_bytes* of them at most, and one at least if there is any."""
        batch: Batch = {}
        left = most_records
        room = most_bytes
        for each in list(self._records):
            if batch and (left <= 0 or room <= 0):
                break
            records = self._records.pop(each)
            count, room = _fit(records, max(1, left), room)
            left -= count
            batch[each] = records[:count]
            if count < len(records):
                self._records[each] = records[count:]  # last now, so that every partition has its turn
        return batch


def _fit(records: Sequence[Record], most: int, room: int) -> tuple[int, int]:
    """Give how many of *records* fit into *room* bytes, one at least, and the room that is left."""
    count = 0
    for record in records[:most]:
        room -= len(record.value or b"") + len(record.key or b"")
        if count and room < 0:
            break
        count += 1
    return count, room
