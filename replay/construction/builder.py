"""Building a generation: read every partition from where its checkpoint stands, fold in memory, commit now and then.

Only this process writes the generation until a worker takes over after the swap; that worker's claim fences it. A build that
was killed goes on from its last commit. It never reads past the offsets it was told to, so that both generations can be
compared at one vector.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from eventstore.errors import TimedOut, VerificationFailed
from eventstore.log.assigned import AssignedReader
from eventstore.log.consumer import Batch, Partition
from eventstore.moments import reach
from eventstore.postgres.engine import ConnectionLost
from eventstore.postgres.refusals import backoff_s, is_conflict
from projections.control.catalogue import describe_actor
from projections.control.checkpoint import Vector, has_reached
from projections.control.generation import Generation
from projections.copies import Comparison
from projections.feeding.pipeline import Pipeline
from projections.fold.step import HandlerFailed
from replay.construction.guard import Guard
from replay.settings import ReplaySettings

Tell = Callable[[int, int, str | None], None]
POLL_S = 0.25
PIECE = 10_000
"""Records of one partition decoded at a time, which bounds memory whatever a fetch brings."""
CONFLICTS = 10
"""Deadlocks and the like in a row, without a commit in between, after which a build gives up."""


def cut_batch(batch: Batch, size: int) -> Iterator[Batch]:
    """Cut *batch* into pieces of at most *size* records of one partition, in order within each partition. Pure."""
    for partition, records in batch.items():
        for start in range(0, len(records), size):
            yield {partition: records[start : start + size]}


class Builder:
    """Feeds one generation by itself. *tell* hears (records done, records in all, why it waits)."""

    def __init__(
        self, pipeline: Pipeline, reader: AssignedReader, settings: ReplaySettings, tell: Tell, guard: Guard | None = None
    ) -> None:
        self._pipeline = pipeline
        self._reader = reader
        self._settings = settings
        self._tell = tell
        self._guard = guard
        self._committed = time.monotonic()
        self._careful_until: Vector = {}
        self._goal: Vector = {}
        self._limit: Vector | None = None
        self._part: Sequence[Partition] | None = None
        self._conflicts = 0
        self.copied: Sequence[Comparison] = ()

    @property
    def vector(self) -> Vector:
        """The offsets up to which everything is folded."""
        return self._pipeline.vector

    @property
    def generation(self) -> Generation:
        """The generation that is built."""
        return self._pipeline.generation

    @property
    def partitions(self) -> list[Partition]:
        """The partitions that this process builds: every one of the generation's topics, or its part of them."""
        if self._part is not None:
            return list(self._part)
        topics = self._pipeline.generation.topics
        return [(topic, number) for topic, count in sorted(topics.items()) for number in range(count)]

    async def open(self, part: Sequence[Partition] | None = None) -> None:
        """Take all partitions, or *part* of them beside other processes, and connect; an earlier run's process is fenced from here on."""
        self._part = part
        await self._reader.open(await self._claim())
        reach("replay.claimed")

    async def close(self) -> None:
        """Leave; what is not committed is folded again by the next run."""
        await self._reader.close()

    async def advance_to(self, goal: Mapping[Partition, int]) -> None:
        """Fold exactly up to *goal*, in the partitions that it names, and commit. Raises TimedOut when the log gives no more."""
        here = self.vector
        self._goal = {each: max(goal[each], here[each]) for each in goal if each in here}
        self._set_limit(self._goal)

        async def is_there() -> bool:
            return has_reached(self.vector, self._goal) and await self.commit()

        await self._pump(is_there)
        self._set_limit(None)

    async def rush_to(self, goal: Mapping[Partition, int]) -> None:
        """Do the same without regard to the live generation, whose writers are held back for it."""
        guard, self._guard = self._guard, None
        try:
            await self.advance_to(goal)
        finally:
            self._guard = guard

    async def catch_up(self) -> int:
        """Read to the end of the log, or near it while it grows, commit, and give how many records are left."""
        while True:
            await self._read_to(ends := await self._reader.ends(self.partitions))
            seen, ends = await self._reader.seen(), await self._reader.ends(self.partitions)
            left = sum(max(0, ends[each] - seen.get(each, 0)) for each in ends)
            if left <= self._settings.near_records and await self.commit():
                return left

    async def last_records(self, partitions: Sequence[Partition]) -> Vector:
        """Give the vector at which these partitions hold no more; they are read to their end for it, since markers end no record.

        The others stay where they are, so that the build does not pass what it is to be compared with.
        """
        if not partitions:
            return {}
        ends = await self._reader.ends(partitions)
        self._set_limit({each: offset for each, offset in self.vector.items() if each not in ends})
        await self._read_to(ends)
        self._set_limit(None)
        return {each: self.vector[each] for each in partitions}

    async def stop_at(self, bound: Vector) -> None:
        """Fold every record before *bound*, markers passed over, and commit."""
        self._set_limit(bound)
        await self._read_to(bound)
        while not await self.commit():
            await self._read_to(bound)
        self._set_limit(None)

    async def _read_to(self, ends: Vector) -> None:
        """Read, markers included, up to *ends*."""
        self._goal = {**self.vector, **ends}

        async def is_there() -> bool:
            return has_reached(await self._reader.seen(), ends)

        await self._pump(is_there)

    async def _pump(self, is_there: Callable[[], Awaitable[bool]]) -> None:
        """Take step after step until *is_there*. Raises TimedOut when the log gives nothing for too long."""
        last = time.monotonic()
        while not await is_there():
            if await self._step():
                last = time.monotonic()
            elif time.monotonic() - last > self._settings.stall_s:
                raise TimedOut(
                    f"{self._pipeline.generation}: the log gave no record for {self._settings.stall_s:g} s although "
                    f"{self._describe_missing()} are due; what is built stays. Look at Kafka, then run the command again."
                )

    async def find_goal(self, live: Generation, vector: Vector) -> Vector:
        """Give the vector at which this build can be compared with *live* at *vector*; topics that *live* lacks go to their end."""
        ends = await self.last_records([each for each in self.partitions if each[0] not in live.topics])
        return {each: ends[each] if each in ends else vector.get(each, 0) for each in self.partitions}

    async def feed(self) -> None:
        """Go on a little with no goal, and commit: what keeps the generation current until a worker takes over."""
        await self._take()
        await self.commit()
        await self._pipeline.note_seen(await self._reader.seen())

    async def commit(self) -> bool:
        """Write what was folded; False = PostgreSQL refused a row, and all since the last commit is folded again, carefully.

        Raises VerificationFailed when that was done already.
        """
        try:
            await self._pipeline.commit()
        except HandlerFailed as error:
            if has_reached(self._careful_until, self.vector):
                raise VerificationFailed(f"{self._pipeline.generation}: {error}; mend the handler and run again") from error
            await self._go_back(self.vector)
            return False
        except ConnectionLost as error:
            await self._go_on(error)
            return False
        self._committed, self._conflicts = time.monotonic(), 0
        if self._pipeline.awaits_ends:
            await self._end_snapshots()
        if self._pipeline.folder.cached > self._settings.cache_rows:
            self._pipeline.folder.evict(self._settings.cache_keys)
        reach("replay.building")
        return True

    async def _end_snapshots(self) -> None:
        """Let rows go that a snapshot read anew no longer holds: the first look notices its end, the second knows where the log ended."""
        for _ in range(2):
            looked_at = time.monotonic()
            ends = await self._reader.ends(self.partitions)
            await self._pipeline.note_seen(await self._reader.seen())
            await self._pipeline.end_snapshots(looked_at, ends)

    async def finish(self) -> None:
        """Commit, add the primary keys, which a build of full tables leaves to the end, and fill the sinks from the tables."""
        await self.commit()
        while not await self._add_keys():
            pass
        reach("replay.keys_added")
        self.copied = await self._pipeline.fill_copies()
        if wrong := [str(each) for each in self.copied if not each.is_equal]:
            raise VerificationFailed(
                f"{self._pipeline.generation}: {'; '.join(wrong)}. Does something else write to the sink? Run again: it is filled anew"
            )

    async def _add_keys(self) -> bool:
        try:
            await self._pipeline.add_keys()
        except HandlerFailed as error:
            raise VerificationFailed(
                f"{self._pipeline.generation}: {error}; give each added row a key of its own, or declare the table's handlers with on"
            ) from error
        except ConnectionLost as error:
            await self._wait_out(error)
            return False
        return True

    async def report(self) -> None:
        """Tell PostgreSQL and Kafka how far the log was read, for lag."""
        seen = await self._reader.seen()
        await self._pipeline.note_seen(seen)
        await self._reader.tell_progress(seen)

    async def _step(self) -> bool:
        started = time.monotonic()
        batch = await self._take()
        done, reason = sum(self.vector.values()), None
        if not batch:
            reason = f"for records from Kafka, {self._describe_missing()} are due"
        elif self._guard:
            reason = self._guard.reason
        self._tell(done, max(done, sum(self._goal.values())), reason)
        if batch and self._guard:
            await self._guard.rest(time.monotonic() - started)
        return bool(batch)

    async def _take(self) -> Batch:
        batch = await self._reader.poll(POLL_S)
        for piece in cut_batch(batch, PIECE):
            if not await self._absorb(piece):
                break
        return batch

    async def _absorb(self, batch: Batch) -> bool:
        if self._pipeline.is_stepwise:
            await self._pipeline.apply(batch, {})
            return True
        carefully = any(self.vector.get(each, 0) < until for each, until in self._careful_until.items())
        try:
            await self._pipeline.absorb(batch, {}, carefully=carefully)
        except HandlerFailed as error:
            if carefully:
                raise VerificationFailed(f"{self._pipeline.generation}: {error}; mend it and run again") from error
            await self._go_back({each: records[-1].offset + 1 for each, records in batch.items()})
            return False
        except ConnectionLost as error:
            await self._go_on(error)
            return False
        folder = self._pipeline.folder
        due = time.monotonic() - self._committed > self._settings.commit_s
        if due or self._pipeline.pending >= self._settings.commit_rows or folder.cached > 2 * self._settings.cache_rows:
            return await self.commit()
        return True

    async def _go_back(self, until: Vector) -> None:
        """Begin again at the last commit and fold carefully up to *until*."""
        for each, offset in until.items():
            self._careful_until[each] = max(offset, self._careful_until.get(each, 0))
        self._reader.seek(await self._claim())
        self._set_limit(self._limit)  # a partition that had reached its limit was paused there

    async def _claim(self) -> Vector:
        while True:
            try:
                return await self._pipeline.claim(self.partitions, f"{describe_actor()} replay")
            except ConnectionLost as error:
                await self._wait_out(error)

    async def _go_on(self, error: Exception) -> None:
        """Begin again at the last commit when *error* passes by itself."""
        await self._wait_out(error)
        await self._go_back({})

    async def _wait_out(self, error: Exception) -> None:
        """Pause when PostgreSQL took back a transaction that stood in another's way; raise *error* when it is another, or one too many."""
        self._conflicts += 1
        if not is_conflict(error) or self._conflicts > CONFLICTS:
            raise error
        done = sum(self.vector.values())
        self._tell(done, max(done, sum(self._goal.values())), f"{' '.join(str(error).split())}; going on from the last commit")
        await asyncio.sleep(backoff_s(self._conflicts))

    def _set_limit(self, limit: Vector | None) -> None:
        self._limit = limit
        self._reader.limit(limit)

    def _describe_missing(self) -> str:
        missing = {
            each: offset - self.vector.get(each, 0) for each, offset in self._goal.items() if offset > self.vector.get(each, 0)
        }
        return ", ".join(f"{count} of {topic}[{number}]" for (topic, number), count in sorted(missing.items())) or "markers"
