"""The shards in this process's hands: a fenced producer each, where each stands, and a page cut into their transactions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping

from eventstore.errors import Fenced
from eventstore.log.hanging import read_hanging
from eventstore.log.partitioner import partition_of
from eventstore.log.producer import Entry, TransactionalProducer
from eventstore.log.wire import compose, position_of
from eventstore.moments import reach
from eventstore.postgres.pages import TextRow
from eventstore.relay.loose import judge_loose
from eventstore.relay.share import END, count_shards, find_partitions
from eventstore.settings import KafkaSettings
from eventstore.stream import Position

log = logging.getLogger(__name__)


class Writer:
    """Publishes pages to the shards that it holds, each shard in a transaction of its own, all at the same time."""

    def __init__(self, kafka: KafkaSettings, source: str) -> None:
        self._kafka = kafka
        self._source = source
        self._shards = count_shards(kafka.partitions)
        self._producers: dict[int, TransactionalProducer] = {}
        self.stands: dict[int, Position] = {}
        self.bytes = 0

    @property
    def position(self) -> Position:
        """Up to where every held shard has everything."""
        return min(self.stands.values())

    @property
    def held(self) -> set[int]:
        """The shards that this writes to."""
        return set(self._producers)

    async def open(self, shards: Collection[int]) -> None:
        """Take over *shards*: whoever wrote to them before is fenced, for good. Set their `stands` afterwards. Raises Unreachable."""
        topic = self._kafka.events_topic
        made = {each: TransactionalProducer(self._kafka, topic, f"{topic}.relay.{each}") for each in shards}
        self._producers |= made  # at once: whoever is cancelled meanwhile closes all of them
        _raise_first(await asyncio.gather(*(each.start() for each in made.values()), return_exceptions=True))

    async def settle(self, stands: Mapping[int, Position]) -> bool:
        """End what hangs in the shards of *stands*, held ones with where they stand; True = there was something, so look again.

        Nothing may be open. Raises Fenced when another process took a shard over, TimedOut, Unreachable.
        """
        own = {shard: stand for shard, stand in stands.items() if stand < END}
        if not own:
            return False
        topic, partitions = self._kafka.events_topic, self._kafka.partitions
        wanted = [each for shard in own for each in find_partitions(shard, partitions)]
        hanging = {each: position_of(found) for each, found in (await read_hanging(self._kafka, topic, wanted)).items()}
        verdicts = judge_loose(hanging, own, partitions)
        for shard, verdict in verdicts.items():
            log.warning(
                "a transaction of shard %s hangs in %s: it is ended, commit=%s", shard, verdict.partitions, verdict.commit
            )
            await self._producers[shard].settle(verdict.partitions, commit=verdict.commit)
        return bool(verdicts)

    async def drop(self, shards: Iterable[int]) -> None:
        """Write to *shards* no more; an open transaction of theirs is aborted by the next owner."""
        gone = [self._producers.pop(each) for each in shards if each in self._producers]
        self.stands = {shard: stand for shard, stand in self.stands.items() if shard in self._producers}
        await asyncio.gather(*(each.close() for each in gone))

    async def close(self) -> None:
        """Let go of everything. Never raises."""
        await self.drop(list(self._producers))

    async def publish(self, page: list[TextRow]) -> tuple[int, list[int]]:
        """Publish what of *page* belongs to held shards and is not in the log yet, and give how many events that was.

        Shards that another process took over meanwhile are let go, and named as the second value: nothing was written to them.
        """
        cut = self._cut(page)
        end = Position(page[-1][2], page[-1][3])
        work = [self._producers[shard].publish(entries, _before_commit) for shard, entries in cut.items()]
        outcomes = dict(zip(cut, await asyncio.gather(*work, return_exceptions=True), strict=True))
        lost = [shard for shard, outcome in outcomes.items() if isinstance(outcome, Fenced)]
        published = sum(len(entries) for shard, entries in cut.items() if outcomes[shard] is None)
        _raise_first(outcome for shard, outcome in outcomes.items() if shard not in lost)
        await self.drop(lost)
        self.stands = {shard: max(stand, end) for shard, stand in self.stands.items()}
        if published:
            reach("relay.after_commit")
        return published, lost

    def _cut(self, page: list[TextRow]) -> dict[int, list[Entry]]:
        """Cut *page* into the transactions of the held shards; the order stays. Rows of others cost a look at their stream."""
        partitions, source, shards = self._kafka.partitions, self._source, self._shards
        first = Position(page[0][2], page[0][3])
        ahead = {shard: stand for shard, stand in self.stands.items() if stand >= first}
        cut: dict[int, list[Entry]] = {shard: [] for shard in self.stands}
        size = 0
        for row in page:
            partition = partition_of(row[0], partitions)
            entries = cut.get(partition % shards)
            if entries is None or (ahead and _is_behind(row, ahead.get(partition % shards))):
                continue
            value = compose(row[:12], source)
            size += len(value)
            entries.append((partition, row[0].encode(), value, row[12]))
        self.bytes = size
        return {shard: entries for shard, entries in cut.items() if entries}


def _is_behind(row: TextRow, stand: Position | None) -> bool:
    return stand is not None and (row[2], row[3]) <= stand


def _raise_first(outcomes: Iterable[object]) -> None:
    for each in outcomes:
        if isinstance(each, BaseException):
            raise each


def _before_commit() -> None:
    reach("relay.before_commit")
