"""Reading an archive and its topic as one: old offsets from files, the rest from Kafka, switching at an exact offset.

The same interface as `eventstore.log.assigned.AssignedReader`, to which it hands each partition over when the files of that
partition are read; a partition whose files are not is held there, so that Kafka is asked for nothing that it may have deleted.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eventstore.archive.arrow import load_arrow
from eventstore.archive.columns import choose_columns, make_records, read_census
from eventstore.archive.piece import Piece, require_chain
from eventstore.archive.place import Place
from eventstore.errors import HistoryIncomplete
from eventstore.log.assigned import AssignedReader
from eventstore.log.consumer import Batch, Partition
from eventstore.log.fetch import Records
from eventstore.settings import KafkaSettings

Chain = Sequence[Piece]
Group = tuple[Any, int]


class ArchiveReader:
    """Reads the partitions it is told to from their archived files first, then from Kafka."""

    def __init__(self, place: Place, settings: KafkaSettings, group: str) -> None:
        self._place = place
        self._tail = AssignedReader(settings, group)
        self._chains: dict[Partition, Chain] = {}
        self._shelves: dict[Partition, Shelf] = {}
        self._limit: dict[Partition, int] = {}
        self._turn = 0

    async def open(self, start: Mapping[Partition, int]) -> None:
        """Look at the archive, connect to Kafka and take up *start*."""
        self._chains = await asyncio.to_thread(find_chains, self._place, start)
        held = {each: offset for each, offset in start.items() if offset < self._end(each)}
        await self._tail.open(start, held)
        self._shelves = {each: Shelf(self._place, self._chains[each], offset) for each, offset in held.items()}

    async def close(self) -> None:
        """Leave; safe to repeat."""
        for each in self._shelves.values():
            each.close()
        self._shelves.clear()
        await self._tail.close()

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Go on from *offsets*, wherever they lie."""
        for each, offset in offsets.items():
            if (shelf := self._shelves.pop(each, None)) is not None:
                shelf.close()
            if offset < self._end(each):
                self._shelves[each] = Shelf(self._place, self._chains[each], offset)
                self._tail.hold(each)
            else:
                self._tail.release(each, offset)

    def limit(self, offsets: Mapping[Partition, int] | None) -> None:
        """Give no record at or past *offsets* from now on (None = no limit). No limit may lie before what was already given."""
        self._limit = dict(offsets or {})
        self._tail.limit(offsets)

    async def poll(self, timeout_s: float) -> Batch:
        """Give records in order per partition: a row group of one archived partition at a time, or else what Kafka has."""
        for each in self._due():
            shelf = self._shelves[each]
            records = await shelf.take(each)
            limit = self._limit.get(each)
            kept = records if limit is None or not len(records) or records[-1].offset < limit else records.before(limit)
            shelf.note(len(kept) == len(records), limit)
            if shelf.is_read:
                shelf.close()
                del self._shelves[each]
                self._tail.release(each, self._end(each))
            if len(kept):
                return {each: kept}
        return await self._tail.poll(timeout_s)

    async def seen(self) -> dict[Partition, int]:
        """Give how far each partition was read, what was never a record included."""
        return await self._tail.seen() | {each: shelf.at for each, shelf in self._shelves.items()}

    async def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Give the end of the committed log of each partition."""
        return await self._tail.ends(partitions)

    async def tell_progress(self, offsets: Mapping[Partition, int]) -> None:
        """Commit *offsets* to Kafka for lag tools."""
        await self._tail.tell_progress(offsets)

    def _end(self, partition: Partition) -> int:
        chain = self._chains.get(partition)
        return chain[-1].end if chain else 0

    def _due(self) -> list[Partition]:
        """Give the archived partitions that may go on, each in its turn."""
        due = [each for each, shelf in sorted(self._shelves.items()) if shelf.at < self._limit.get(each, shelf.at + 1)]
        self._turn += 1
        middle = self._turn % len(due) if due else 0
        return due[middle:] + due[:middle]


class Shelf:
    """One partition's files from offset *at* on, a row group at a time; the next one is read while this one is folded."""

    def __init__(self, place: Place, chain: Chain, at: int) -> None:
        self.at = at
        self._place = place
        self._chain = chain
        self._piece = bisect_right([each.first for each in chain], at) - 1
        self._group = 0
        self._file: Any = None
        self._groups = 0
        self._ahead: asyncio.Task[tuple[Records, int]] | None = None
        self._given: tuple[Records, int] | None = None

    @property
    def is_read(self) -> bool:
        """True when all files were given to their end."""
        return self.at >= self._chain[-1].end

    async def take(self, partition: Partition) -> Records:
        """Give the next records; empty where a row group holds none from *at* on. Call `note` with what became of them."""
        if self._given is None:
            ahead = self._ahead or asyncio.create_task(asyncio.to_thread(self._read, partition))
            self._ahead = None
            self._given = await ahead
            if self._piece < len(self._chain):
                self._ahead = asyncio.create_task(asyncio.to_thread(self._read, partition))
        records, _ = self._given
        return records if not len(records) or records.raws[0].offset >= self.at else since(records, self.at)

    def note(self, whole: bool, limit: int | None) -> None:
        """Go on behind what was taken; if a *limit* cut it short, stop there and keep the rest."""
        assert self._given is not None
        if whole and (limit is None or self._given[1] <= limit):
            self.at = self._given[1]
            self._given = None
        else:
            assert limit is not None
            self.at = limit

    def close(self) -> None:
        """Close the file; what is being read ahead is dropped."""
        if self._ahead is not None:
            self._ahead.cancel()
        self._file = None

    def _read(self, partition: Partition) -> tuple[Records, int]:
        """Read the next row group, and say up to which offset it reaches."""
        piece = self._chain[self._piece]
        if self._file is None:
            self._file = open_piece(self._place, piece)
            self._groups = self._file.num_row_groups
            self._group = self._find_group()
        table = self._file.read_row_group(self._group, columns=choose_columns(self._file.schema_arrow.names), use_threads=False)
        records = make_records(*partition, table)
        self._group += 1
        if self._group < self._groups:
            return records, records.raws[-1].offset + 1 if len(records) else piece.first
        self._piece, self._file = self._piece + 1, None
        return records, piece.end

    def _find_group(self) -> int:
        """Skip the row groups that end before *at*, by the statistics of the file."""
        metadata = self._file.metadata
        for group in range(self._groups - 1):
            statistics = metadata.row_group(group).column(0).statistics
            if statistics is None or not statistics.has_min_max or statistics.max >= self.at:
                return group
        return self._groups - 1


def since(records: Records, offset: int) -> Records:
    """Give the records from *offset* on."""
    return records[len(records.before(offset)) :]


def open_piece(place: Place, piece: Piece, dictionaries: Sequence[str] = ()) -> Any:
    """Open a file of the archive; *dictionaries* are columns of few values, to be read as such.

    Raises HistoryIncomplete when it is gone or can't be read.
    """
    pa = load_arrow()
    try:
        file = pa.parquet.ParquetFile(place.path(piece), filesystem=place.files, read_dictionary=list(dictionaries))
    except (OSError, pa.ArrowInvalid) as error:
        raise HistoryIncomplete(
            f"{piece} of the archive at {place.url} can't be read: {error}. See `eventstore archive verify`"
        ) from error
    read_census(file.schema_arrow.metadata)
    return file


def find_chains(place: Place, partitions: Iterable[Partition]) -> dict[Partition, Chain]:
    """Give the files of each of *partitions* that has some. Raises VerificationFailed when they are no chain from offset 0."""
    wanted = set(partitions)
    found: dict[Partition, Chain] = {}
    for topic in sorted({each for each, _ in wanted}):
        for number, pieces in place.find_pieces(topic).items():
            if (topic, number) in wanted:
                require_chain(pieces)
                if pieces[0].first == 0:
                    found[topic, number] = pieces
    return found


def require_cover(chains: Mapping[Partition, Chain], first: Mapping[Partition, int], url: str) -> None:
    """Raise HistoryIncomplete that names the partitions of which neither the archive nor Kafka has the records before *first*."""
    ends = {each: chain[-1].end for each, chain in chains.items()}
    gaps = {each: offset for each, offset in first.items() if offset > ends.get(each, 0)}
    if gaps:
        named = ", ".join(
            f"{each[0]}[{each[1]}] is archived up to {ends.get(each, 0):,} and kept from {offset:,}"
            for each, offset in sorted(gaps.items())
        )
        raise HistoryIncomplete(
            f"{named}: the records between are in neither the archive at {url} nor Kafka. Nothing was changed. Give an archive that "
            "reaches further, or publish the events again from the store into a new topic (REFOLD_KAFKA_TOPIC_PREFIX).",
            gaps=[f"{topic}[{number}]" for topic, number in sorted(gaps)],
        )
