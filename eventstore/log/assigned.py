"""Reading by assignment: one reader owns what it names, from and to exactly the offsets it is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aiokafka import TopicPartition

from eventstore.log.consumer import Batch, Partition, Reader, start_consumer
from eventstore.log.fetch import Records, fetch
from eventstore.settings import KafkaSettings
from eventstore.source import Record


class AssignedReader(Reader):
    """Reads exactly the partitions it is told to, from exactly the offsets it is told: a replay's reader.

    `limit` bounds it: records at or past a partition's limit are not given, and are read again when the limit is lifted.
    """

    def __init__(self, settings: KafkaSettings, group: str, *, bulk: bool = True) -> None:
        """*bulk* asks for large fetches; otherwise records are given as soon as they are there."""
        super().__init__(settings, group, bulk=bulk)
        self._limit: dict[Partition, int] = {}
        self._held: set[TopicPartition] = set()

    async def open(self, start: Mapping[Partition, int], held: Iterable[Partition] = ()) -> None:
        """Connect and take up *start*; nothing is asked of the partitions *held* until they are released."""
        await start_consumer(self._consumer, self.settings)
        self._consumer.assign([TopicPartition(*each) for each in start])
        self.seek(start)
        for each in held:
            self.hold(each)

    def hold(self, partition: Partition) -> None:
        """Read nothing of *partition* until it is released."""
        self._held.add(TopicPartition(*partition))
        self._consumer.pause(TopicPartition(*partition))

    def release(self, partition: Partition, offset: int) -> None:
        """Read *partition*, held or not, from *offset* on, as far as its limit allows."""
        self._held.discard(TopicPartition(*partition))
        self._consumer.seek(TopicPartition(*partition), offset)
        self._consumer.resume(TopicPartition(*partition))

    async def _fetch(self, timeout_s: float) -> Batch:
        return dict(await fetch(self._consumer, timeout_s))

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Go on from *offsets*; what was fetched from elsewhere is dropped."""
        for each, offset in offsets.items():
            self._consumer.seek(TopicPartition(*each), offset)

    def limit(self, offsets: Mapping[Partition, int] | None) -> None:
        """Give no record at or past *offsets* from now on (None = no limit). No limit may lie before what was already given."""
        self._consumer.resume(*(self._consumer.assignment() - self._held))
        self._limit = dict(offsets or {})

    async def poll(self, timeout_s: float) -> Batch:
        """Give what was fetched, in order per partition; empty after *timeout_s* seconds without records."""
        batch = await self._poll(timeout_s)
        if not self._limit:
            return batch
        return {each: kept for each, records in batch.items() if (kept := self._cut(each, records))}

    def _cut(self, partition: Partition, records: Sequence[Record]) -> Sequence[Record]:
        limit = self._limit.get(partition)
        if limit is None or records[-1].offset < limit:
            return records
        self._consumer.seek(TopicPartition(*partition), limit)
        self._consumer.pause(TopicPartition(*partition))
        return records.before(limit) if isinstance(records, Records) else [each for each in records if each.offset < limit]
