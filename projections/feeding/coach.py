"""One read pass for several projections: one consumer, one fetch and one decode, and a checkpoint, a transaction and a fate for each.

Workers take *seats*. A seat looks like a reader of its own; behind all of them the coach reads what the pass's consumer group assigns,
from the offset of whoever is furthest behind, and gives everybody what they have not had. Nothing more is fetched until all have applied
what they were given, so the slowest bounds the pass. A worker that fails leaves its seat, and the others go on; when it takes one again,
or was fenced, all claim anew. What a seat believes is checked by the database at every commit, as ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from eventstore.log.backlog import Backlog
from eventstore.log.consumer import Batch, Membership, Partition
from eventstore.log.events import EventSource
from eventstore.log.gate import Claiming, GroupReader
from eventstore.settings import KafkaSettings
from eventstore.source import Message, Reader, Record, Source
from projections.fold.fold import Folder
from projections.settings import ProjectionSettings

AGAIN_S = 5.0
"""Seconds until a seat that was fenced claims again, unless a rebalance lets all do so before."""
CLAIM_S = 30.0
"""Seconds for which the others wait for a seat that does not claim."""


class Coach:
    """Reads *topics* for all who sit in it, under the name of *group*."""

    def __init__(self, kafka: KafkaSettings, settings: ProjectionSettings, topics: Sequence[str], group: str) -> None:
        self.kafka = kafka
        self.settings = settings
        self.memo = Memo()
        self._topics = list(topics)
        self._group = group
        self._seats: list[Seat] = []
        self._reader: GroupReader | None = None
        self._running: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._door = asyncio.Lock()
        self._claiming: list[Partition] | None = None

    @property
    def mark(self) -> str:
        """Tell this release's pass from another's in the names of owners."""
        return f"pass {self._group[-12:]}"

    @property
    def reader(self) -> GroupReader:
        """The reader behind all seats. Raises what has ended it."""
        if self._running is not None and self._running.done():
            self._running.result()
        assert self._reader is not None, "somebody sits here"
        return self._reader

    def leads(self, seat: Seat) -> bool:
        """Say whether *seat* speaks for the pass."""
        return bool(self._seats) and self._seats[0] is seat

    async def attach(self, seat: Seat) -> None:
        """Let *seat* take part, from the next claim on, or from the present one: all whom that asked may fail."""
        async with self._door:
            self._seats.append(seat)
            if self._running is None or self._running.done():
                self._claiming = None
                self._reader = self._make_reader()
                await self._reader.open()
                self._running = asyncio.create_task(self._run(self._reader), name=self._group)
            elif self._claiming is not None:
                seat.ask(self._claiming)
        self.note()

    async def detach(self, seat: Seat) -> None:
        """Let *seat* go; with the last one the group is left."""
        async with self._door:
            if seat in self._seats:
                self._seats.remove(seat)
            self.note()
            if not self._seats and self._running is not None:
                running, self._running = self._running, None
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    def _make_reader(self) -> GroupReader:
        chosen = self.settings
        membership = Membership(chosen.instance, chosen.session_s, chosen.max_poll_s)
        return GroupReader(
            self.kafka, self._group, self._topics, self._claim, membership=membership, most_bytes=chosen.batch_bytes
        )

    def awaits(self, partitions: Sequence[Partition]) -> bool:
        """Say whether a claim of *partitions* counts still: one that comes too late would miss what the others were given."""
        return self._claiming is partitions

    def note(self) -> None:
        """Look again at where the seats are."""
        self._moved.set()

    async def _run(self, reader: GroupReader) -> None:
        try:
            while True:
                await self._wait(lambda: all(each.is_idle for each in self._seats), None)
                if reader.is_open and any(each.is_waiting for each in self._seats):
                    reader.rejoin()
                batch = await reader.poll(self.settings.poll_s)
                if reader.is_open:
                    self._deal(batch, await reader.seen())
        finally:
            await reader.close()

    def _deal(self, batch: Batch, seen: Mapping[Partition, int]) -> None:
        if batch:
            self.memo.clear()
        for each in self._seats:
            if each.is_open:
                each.deal(batch, seen)

    async def _claim(self, partitions: list[Partition]) -> Mapping[Partition, int]:
        """Let every seat claim *partitions* in its own task; give the offsets of those that are furthest behind."""
        asked = list(self._seats)
        self._claiming = partitions
        for each in asked:
            each.ask(partitions)
        await self._wait(lambda: all(each.is_open for each in asked if each in self._seats), CLAIM_S)
        await self._wait(lambda: any(each.is_open for each in self._seats), None)
        self._claiming = None
        starts = [each.start for each in self._seats if each.is_open]
        return {each: min(start[each] for start in starts) for each in partitions}

    async def _wait(self, is_so: Callable[[], bool], most_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while not is_so():
                    self._moved.clear()
                    await self._moved.wait()


class Seat:
    """One worker's place in a pass; has the interface of `eventstore.log.gate.GroupReader`."""

    def __init__(self, coach: Coach, claim: Claiming) -> None:
        self.is_open = False
        self.is_idle = True
        self.start: Mapping[Partition, int] = {}
        self._coach = coach
        self._claim = claim
        self._asked: list[Partition] | None = None
        self._backlog = Backlog()
        self._next: dict[Partition, int] = {}
        self._seen: dict[Partition, int] = {}
        self._again = 0.0
        self._woken = asyncio.Event()

    @property
    def is_waiting(self) -> bool:
        """True when it must claim before it can be given anything."""
        return not self.is_open and self._asked is None and time.monotonic() >= self._again

    async def open(self) -> None:
        """Take the seat."""
        await self._coach.attach(self)

    async def close(self) -> None:
        """Leave it; safe to repeat."""
        self.is_open = False
        await self._coach.detach(self)

    def ask(self, partitions: list[Partition]) -> None:
        """Ask for a claim of *partitions*, at the next poll; what was not handed out is dropped."""
        self._asked, self.is_open, self.is_idle = partitions, False, True
        self._backlog.clear()
        self._woken.set()

    def deal(self, batch: Batch, seen: Mapping[Partition, int]) -> None:
        """Give what of *batch* this seat has not had."""
        mine = {each: kept for each, records in batch.items() if (kept := _cut(records, self._next.get(each, 0)))}
        self._next |= {each: records[-1].offset + 1 for each, records in mine.items()}
        self._seen |= {each: max(offset, self.start.get(each, 0)) for each, offset in seen.items() if each in self._next}
        if mine:
            self._backlog.put(mine)
            self.is_idle = False
            self._woken.set()

    async def poll(self, timeout_s: float, most_records: int) -> Batch:
        """Give the next records, or claim when that is asked for; what was given before is applied by now."""
        _ = self._coach.reader
        if not self._backlog and not self.is_idle:
            self.is_idle = True
            self._coach.note()
        if self._asked is None and not self._backlog:
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), timeout_s)
        if self._asked is not None:
            await self._take_up(self._asked)
            return {}
        return self._backlog.take(most_records, self._coach.settings.batch_bytes)

    async def _take_up(self, partitions: list[Partition]) -> None:
        start = await self._claim(partitions)
        if self._asked is partitions:
            self._asked, self.start = None, start
            self._next, self._seen = dict(start), dict(start)
            self.is_open = self._coach.awaits(partitions)
            self._coach.note()

    def rejoin(self) -> None:
        """Claim again, with the others, as after being fenced: at the next rebalance, or after a while."""
        self._wait_until(time.monotonic() + AGAIN_S)

    def stand_by(self) -> None:
        """Leave the partitions to another release's pass, until `return_now` or a rebalance of this one."""
        self._wait_until(float("inf"))

    def return_now(self) -> None:
        """Claim again, with the others, as soon as they can."""
        self._wait_until(time.monotonic())

    def _wait_until(self, again: float) -> None:
        self.is_open, self.is_idle, self._again = False, True, again
        self._backlog.clear()
        self._coach.note()

    async def seen(self) -> dict[Partition, int]:
        """Give how far each partition was handed out here, transaction markers included."""
        return {**self._seen, **self._backlog.first_offsets()}

    async def topic_ids(self) -> dict[str, UUID]:
        """Give Kafka's ids of the topics as they are now."""
        return await self._coach.reader.topic_ids()

    async def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Give the end of the committed log of each partition."""
        return await self._coach.reader.ends(partitions)

    async def tell_progress(self, offsets: Mapping[Partition, int]) -> None:
        """Commit *offsets* to Kafka for lag tools, where this seat speaks for the pass."""
        if self._coach.leads(self):
            await self._coach.reader.tell_progress(offsets)


@dataclass(slots=True)
class _Shared:
    """One source's reader for all folders."""

    names: frozenset[str] = frozenset()
    whole: bool = False
    read: Reader | None = None
    kept: dict[int, Message | None] = field(default_factory=dict[int, Message | None])


class Memo:
    """Decodes each record of a batch once for several folders, which must leave what they are given as it is."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, str], _Shared] = {}

    def clear(self) -> None:
        """Forget a batch, before the next one is handed out."""
        for each in self._shared.values():
            each.kept.clear()

    def share(self, folder: Folder) -> None:
        """Let *folder* read through this."""
        folder.reread(self._make_reader)

    def _make_reader(self, source: Source, topic: str, names: frozenset[str], whole: bool) -> Reader:
        shared = self._shared.setdefault((topic, source.name), _Shared())
        shared.names |= names
        shared.whole |= whole
        every: Any = shared.names
        is_events = isinstance(source, EventSource)
        shared.read = source.reader(every, None, whole=shared.whole) if is_events else source.reader(every)
        shared.kept.clear()

        def read(record: Record) -> Message | None:
            kept, which = shared.kept, id(record)
            if which in kept:
                message = kept[which]
            else:
                assert shared.read is not None
                message = kept[which] = shared.read(record)
            return message if message is not None and message[0] in names else None

        return read


def _cut(records: Sequence[Record], first: int) -> Sequence[Record]:
    return records if records[0].offset >= first else [each for each in records if each.offset >= first]
