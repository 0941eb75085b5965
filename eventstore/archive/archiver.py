"""Filling the archive: each partition is read on from the offset where its last file ends, and cut into new files.

What is in the archive is known from the names of its files alone, so an archiver that was killed at any moment is simply started
again: a file is there whole or not at all, and nothing is ever written twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventstore.archive.arrow import load_arrow
from eventstore.archive.columns import make_table
from eventstore.archive.piece import Piece, require_chain
from eventstore.archive.place import Place
from eventstore.archive.settings import ArchiveSettings
from eventstore.errors import HistoryIncomplete, PreconditionFailed, TimedOut, VerificationFailed
from eventstore.log.assigned import AssignedReader
from eventstore.log.bounds import find_bounds, find_partitions
from eventstore.log.consumer import Partition
from eventstore.moments import reach
from eventstore.settings import KafkaSettings
from eventstore.source import Record

POLL_S = 0.25


@dataclass(slots=True)
class Filling:
    """The next file of one partition: records from offset *first*, all of them up to *end*."""

    first: int
    end: int
    records: list[Record] = field(default_factory=list[Record])
    bytes: int = 0
    since: float = field(default_factory=time.monotonic)


class Archiver:
    """Archives all partitions of one topic. *tell* hears (records, files) written in this run."""

    def __init__(
        self, topic: str, place: Place, kafka: KafkaSettings, settings: ArchiveSettings, tell: Callable[[int, int], None]
    ) -> None:
        self.topic = topic
        self.records = 0
        self.files = 0
        self._place = place
        self._kafka = kafka
        self._settings = settings
        self._tell = tell
        self._filling: dict[Partition, Filling] = {}

    async def drain(self) -> None:
        """Archive what the topic holds now. Raises TimedOut when the log gives no more although records are due."""
        await self._run(None)

    async def run(self, stop: asyncio.Event) -> None:
        """Archive what comes until *stop*; what is held then is written."""
        await self._run(stop)

    async def _run(self, stop: asyncio.Event | None) -> None:
        with self._place.locked(self.topic):
            start, ends = await self._find_start()
            reader = AssignedReader(self._kafka, f"{self._kafka.topic_prefix}.archive")
            try:
                await reader.open(start)
                await (self._follow(reader, stop) if stop else self._drain(reader, ends))
                for each in list(self._filling):
                    await self._close(each)
            finally:
                await reader.close()

    async def _find_start(self) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """Give where to read on and where the topic ends now. Raises HistoryIncomplete when Kafka lost what is not archived."""
        count = (await find_partitions(self._kafka, [self.topic]))[self.topic]
        wanted = [(self.topic, each) for each in range(count)]
        chains = self._place.find_pieces(self.topic)
        first, ends = await find_bounds(self._kafka, wanted)
        start = {each: find_end(chains.get(each[1], [])) for each in wanted}
        for each, offset in start.items():
            if first[each] > offset:
                raise HistoryIncomplete(
                    f"{each[0]}[{each[1]}] begins at {first[each]:,} and the archive at {self._place.url} ends at {offset:,}: the records "
                    "between are gone. Nothing was written. An archive begins with the topic; archive more often than Kafka deletes.",
                    topic=each[0],
                    partition=each[1],
                )
            if offset > ends[each]:
                raise PreconditionFailed(
                    f"the archive of {each[0]}[{each[1]}] at {self._place.url} ends at {offset:,}, the topic at {ends[each]:,}: it was "
                    "made anew since. Nothing was written. Give the new topic an archive of its own (--to).",
                )
        self._filling = {each: Filling(offset, offset) for each, offset in start.items()}
        return start, ends

    async def _drain(self, reader: AssignedReader, ends: Mapping[Partition, int]) -> None:
        last = time.monotonic()
        while not all(self._filling[each].end >= end for each, end in ends.items()):
            if await self._take(reader):
                last = time.monotonic()
            elif time.monotonic() - last > self._settings.stall_s:
                raise TimedOut(f"{self.topic}: no record for {self._settings.stall_s:g} s although some are due; run again")

    async def _follow(self, reader: AssignedReader, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._take(reader)
            for each, filling in list(self._filling.items()):
                if filling.records and time.monotonic() - filling.since > self._settings.flush_s:
                    await self._close(each)

    async def _take(self, reader: AssignedReader) -> int:
        batch = await reader.poll(POLL_S)
        for partition, records in batch.items():
            await self._add(partition, records)
        for partition, offset in (await reader.seen()).items():
            self._filling[partition].end = max(offset, self._filling[partition].end)
        while sum(each.bytes for each in self._filling.values()) > self._settings.memory_bytes:
            await self._close(max(self._filling, key=lambda each: self._filling[each].bytes))
        return sum(map(len, batch.values()))

    async def _add(self, partition: Partition, records: Sequence[Record]) -> None:
        limit = self._settings
        while records:
            filling = self._filling[partition]
            if not filling.records:
                filling.since = time.monotonic()
            taken = records[: limit.file_rows - len(filling.records)]
            filling.records += taken
            filling.bytes += sum(len(each.value or b"") + len(each.key or b"") for each in taken)
            filling.end = taken[-1].offset + 1
            if len(filling.records) >= limit.file_rows or filling.bytes >= limit.file_bytes:
                await self._close(partition)
            records = records[len(taken) :]

    async def _close(self, partition: Partition) -> None:
        """Write the file of *partition*, if it holds anything, and begin the next one where it ends."""
        filling = self._filling[partition]
        if not filling.records:
            return
        piece = Piece(*partition, filling.first, filling.end - 1)
        content = await asyncio.to_thread(render, filling.records, self._settings.group_rows)
        await asyncio.to_thread(self._write, piece, content)
        reach("archive.after_write")
        self.records += len(filling.records)
        self.files += 1
        self._filling[partition] = Filling(filling.end, filling.end)
        self._tell(self.records, self.files)

    def _write(self, piece: Piece, content: Any) -> None:
        """Write *piece* unless somebody else went on from there meanwhile, which a lock prevents in a directory only."""
        found = find_end(self._place.find_pieces(piece.topic).get(piece.partition, []))
        if found != piece.first:
            raise VerificationFailed(
                f"{piece} was due, but the archive ends at {found:,}: another archiver writes {self._place.url}. Nothing was written over; "
                "run one archiver a topic."
            )
        self._place.write(piece, content)


def find_end(pieces: Sequence[Piece]) -> int:
    """Give the offset after the last of one partition's *pieces*. Raises VerificationFailed when they are no chain."""
    require_chain(pieces)
    return pieces[-1].end if pieces else 0


def render(records: Sequence[Record], group_rows: int) -> Any:
    """Give the bytes of the Parquet file of *records*, as a pyarrow buffer."""
    pa = load_arrow()
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(make_table(records), sink, compression="zstd", row_group_size=group_rows, store_schema=True)
    return sink.getvalue()
