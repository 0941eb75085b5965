"""Who runs a translation: reads the table's topic by a consumer group, and records events and checkpoint in one transaction.

So an event is recorded exactly once, whatever dies when. Were the same change to come twice (a connector without exactly-once, a topic
that was copied), the ids say so: what is recorded already is left out. A change that can't be translated makes its translation
stand still there, say why, and try again: passing over it is a decision for a person (`cdc translate --skip`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from cdc.change import Change
from cdc.translate.checkpoint import Held, advance_partitions, block_partition, claim_partitions
from cdc.translate.translation import Translation
from eventstore.backoff import jitter_s
from eventstore.envelope import NewEvent, make_id
from eventstore.errors import DuplicateEvent, Fenced, ProcessStuck, TimedOut
from eventstore.log.bounds import find_bounds, find_partitions
from eventstore.log.consumer import Batch, LogError, Partition
from eventstore.log.gate import GroupReader
from eventstore.moments import reach
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.store import PostgresEventStore
from eventstore.postgres.transaction import is_passing
from eventstore.settings import KafkaSettings
from eventstore.source import Record
from eventstore.store import Append

log = logging.getLogger(__name__)
_POLL_S = 0.2
_BATCH = 1_000
_CHUNK = 500
"""Events of one stream in one append; below REFOLD_POSTGRES_MAX_APPEND_EVENTS."""
_RETRY_S = 5.0


class _Untranslatable(Exception):
    """The record at *offset* of *partition* can't be translated, because of *error*."""

    def __init__(self, partition: Partition, offset: int, error: Exception) -> None:
        super().__init__(partition, offset)
        self.partition = partition
        self.offset = offset
        self.error = error


class Translator:
    """Runs *translation* into *store*. Start as many as you like: the group shares partitions out, the checkpoint fences."""

    def __init__(self, store: PostgresEventStore, translation: Translation, kafka: KafkaSettings | None = None) -> None:
        self.translation = translation
        self.recorded = 0
        self._store = store
        self._kafka = kafka or KafkaSettings()
        self._topic = translation.source.topic(self._kafka)
        self._decode = translation.source.reader(frozenset(translation.source.messages))
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{make_id().hex[-6:]}"
        self._held: dict[Partition, Held] = {}
        self._reader: GroupReader | None = None
        self._fails = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Translate until *stop* is set; a batch in hand is finished first. Servers that are away are waited for."""
        while not stop.is_set():
            try:
                await self._serve(stop, until=None)
            except Exception as error:
                if not isinstance(error, (LogError, OSError)) and not is_passing(error):
                    raise
                log.warning("translation %s starts again in %.0f s: %s", self.translation.name, _RETRY_S, error)
                await _rest(stop, _RETRY_S)

    async def drain(self, *, timeout_s: float = 60.0) -> int:
        """Translate what the topic holds now, then return; gives how many events were recorded.

        Raises ProcessStuck when a change can't be translated, TimedOut, PreconditionFailed when there is no topic.
        """
        before, ends = self.recorded, (await self._bounds())[1]
        try:
            async with asyncio.timeout(timeout_s):
                await self._serve(asyncio.Event(), until=ends)
        except TimeoutError:
            raise TimedOut(f"translation {self.translation.name!r} did not reach the topic's end in {timeout_s:g} s") from None
        return self.recorded - before

    async def _bounds(self) -> tuple[dict[Partition, int], dict[Partition, int]]:
        counts = await find_partitions(self._kafka, [self._topic])
        return await find_bounds(self._kafka, [(self._topic, each) for each in range(counts[self._topic])])

    async def _serve(self, stop: asyncio.Event, *, until: Mapping[Partition, int] | None) -> None:
        group = f"{self._kafka.topic_prefix}.translate.{self.translation.name}"
        reader = self._reader = GroupReader(self._kafka, group, [self._topic], self._claim)
        try:
            await reader.open()
            while not stop.is_set() and not (until is not None and self._has_reached(until, await reader.seen())):
                await self._turn(reader, stop, patient=until is None)
        finally:
            await reader.close()

    def _has_reached(self, ends: Mapping[Partition, int], seen: Mapping[Partition, int]) -> bool:
        """Say whether every partition that is ours was read to its end."""
        mine = [each for each in ends if each in self._held]
        return bool(mine) and all(seen.get(each, 0) >= ends[each] for each in mine)

    async def _claim(self, partitions: list[Partition]) -> Mapping[Partition, int]:
        assert self._reader is not None
        first, ends = await self._bounds()
        starts = first if self.translation.start == "beginning" else ends
        wanted = {each: starts[each] for each in partitions}
        ids = await self._reader.topic_ids()
        self._held = await claim_partitions(self._store.engine, self.translation.name, wanted, self._owner, ids)
        return {each: held.next_offset for each, held in self._held.items()}

    async def _turn(self, reader: GroupReader, stop: asyncio.Event, *, patient: bool) -> None:
        batch = await reader.poll(_POLL_S, _BATCH)
        if not batch:
            return
        try:
            await self._take(batch)
            self._fails = 0
        except Fenced as error:
            log.warning("%s", error)
            reader.rejoin()
        except ProcessStuck as error:
            if not patient:
                raise
            self._fails += 1
            log.warning("%s", error)
            await _rest(stop, max(0.05, jitter_s(self._fails, first=0.1, most=_RETRY_S)))
            reader.rejoin()

    async def _take(self, batch: Batch) -> None:
        """Record what *batch* means, or as much of it as can be translated; then raise ProcessStuck."""
        stuck: _Untranslatable | None = None
        events, offsets = self._read(batch)
        if isinstance(offsets, _Untranslatable):
            stuck, kept = offsets, _before(batch, offsets)
            events, offsets = self._read(kept)
            assert not isinstance(offsets, _Untranslatable)
        if offsets:
            await self._record(events, offsets)
        if stuck is not None:
            await self._stand_still(stuck)

    def _read(self, batch: Batch) -> tuple[dict[str, list[NewEvent]], dict[Partition, int] | _Untranslatable]:
        """Give the events of *batch* by stream and where its partitions stand after it, or the first record that can't be translated."""
        events: dict[str, list[NewEvent]] = {}
        offsets: dict[Partition, int] = {}
        for partition, records in batch.items():
            for record in records:
                try:
                    stream, made = self._translate(record)
                except Exception as error:
                    return {}, _Untranslatable(partition, record.offset, error)
                if made:
                    events.setdefault(stream, []).extend(made)
            if len(records):
                offsets[partition] = records[-1].offset + 1
        return events, offsets

    def _translate(self, record: Record) -> tuple[str, list[NewEvent]]:
        message = self._decode(record)
        if message is None:
            return "", []
        change: Change = message.body
        return self.translation.translate(change)

    async def _record(self, events: Mapping[str, Sequence[NewEvent]], offsets: Mapping[Partition, int]) -> None:
        """Record events and checkpoint in one transaction, again when PostgreSQL asks for it."""
        name, attempt = self.translation.name, 0
        while True:
            try:
                async with checkout(self._store.engine) as connection:
                    async with connection.transaction():
                        await advance_partitions(connection, name, self._held, offsets)
                        count = await self._append(events, connection)
                        reach("translate.before_commit")
                    reach("translate.after_commit")
            except Exception as error:
                attempt += 1
                if attempt > 20 or getattr(error, "sqlstate", None) != "40001":
                    raise
                await asyncio.sleep(jitter_s(attempt))
                continue
            self.recorded += count
            for each, offset in offsets.items():
                self._held[each] = self._held[each]._replace(next_offset=offset)
            return

    async def _append(self, events: Mapping[str, Sequence[NewEvent]], connection: Connection) -> int:
        """Append all within the open transaction; what is recorded already is left out. Gives how many were new."""
        while events:
            chunk = {stream: made[:_CHUNK] for stream, made in events.items()}
            try:
                await self._store.append_all([Append(*each) for each in chunk.items()], connection=connection)
            except DuplicateEvent:
                return await self._append_new(events, connection)
            rest = {stream: made[_CHUNK:] for stream, made in events.items() if len(made) > _CHUNK}
            if not rest:
                break
            return sum(map(len, chunk.values())) + await self._append(rest, connection)
        return sum(map(len, events.values()))

    async def _append_new(self, events: Mapping[str, Sequence[NewEvent]], connection: Connection) -> int:
        count = 0
        for stream, made in events.items():
            for each in made:
                if await self._store.find(each.id, connection=connection) is None:
                    await self._store.append(stream, [each], connection=connection)
                    count += 1
        return count

    async def _stand_still(self, stuck: _Untranslatable) -> None:
        name, (topic, partition) = self.translation.name, stuck.partition
        reason = f"{type(stuck.error).__name__}: {stuck.error}"
        await block_partition(self._store.engine, name, stuck.partition, self._held[stuck.partition], stuck.offset, reason)
        raise ProcessStuck(
            f"translation {name!r} stands still at {topic}[{partition}] offset {stuck.offset}: {reason}. Mend the code, or pass over the "
            f"record with `cdc translate --skip {name}`",
            translation=name,
            topic=topic,
            partition=partition,
            offset=stuck.offset,
        ) from stuck.error


def _before(batch: Batch, stuck: _Untranslatable) -> Batch:
    """Give the part of *batch* that can be recorded: all of the partitions before, and what comes before the record in its own."""
    kept: dict[Partition, Any] = {}
    for partition, records in batch.items():
        if partition == stuck.partition:
            kept[partition] = [each for each in records if each.offset < stuck.offset]
            break
        kept[partition] = records
    return {each: records for each, records in kept.items() if len(records)}


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
