"""Where a replay's records come from: the log alone, or an archive for old offsets and the log for the rest.

An archive also gives what no reader can: all its records at once, folded by columns, when every table of the projection is a declared
aggregate. Whether that was possible or not, the generation goes on event by event from the exact offset that was reached.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from eventstore.log.assigned import AssignedReader
from eventstore.log.consumer import Partition
from eventstore.log.topics import require_kept
from eventstore.settings import KafkaSettings
from projections.control.checkpoint import Advance, Vector
from projections.declaration.projection import Projection
from projections.feeding.pipeline import Pipeline


class Given(NamedTuple):
    """What an archive gave by columns: *records* in *seconds*, *single* of them read one by one; or the *doubt* that forbade it."""

    records: int = 0
    single: int = 0
    seconds: float = 0.0
    doubt: str | None = None

    def __str__(self) -> str:
        if self.doubt is not None:
            return f"read event by event: {self.doubt}"
        rate = round(self.records / self.seconds) if self.seconds else 0
        rest = f", {self.single:,} of them one by one" if self.single else ""
        return f"{self.records:,} records by columns in {self.seconds:.1f} s ({rate:,}/s){rest}"


class Supply:
    """The records of one replay; *url* names the archive, None = there is none."""

    def __init__(self, kafka: KafkaSettings, url: str | None) -> None:
        self._kafka = kafka
        if url is None:
            self._place = None
        else:
            from eventstore.archive.place import Place

            self._place = Place(url)

    @property
    def is_archived(self) -> bool:
        """True when old offsets come from files."""
        return self._place is not None

    def require_kept(self, topic: str, configuration: dict[str, str]) -> None:
        """Raise HistoryIncomplete for a topic that loses records, unless they are archived."""
        if self._place is None:
            require_kept(topic, configuration)

    async def complete(self, first: Mapping[Partition, int]) -> Vector:
        """Give the first offset of each partition that can be read, *first* being the log's.

        Raises HistoryIncomplete when records between the archive and the log are gone.
        """
        if self._place is None:
            return dict(first)
        from eventstore.archive.reader import find_chains, require_cover

        chains = await asyncio.to_thread(find_chains, self._place, first)
        require_cover(chains, first, self._place.url)
        return {each: 0 if each in chains else offset for each, offset in first.items()}

    def make_reader(self, group: str) -> AssignedReader:
        """Make the reader of the build, for consumer group *group*."""
        if self._place is None:
            return AssignedReader(self._kafka, group)
        from eventstore.archive.reader import ArchiveReader

        return ArchiveReader(self._place, self._kafka, group)  # pyright: ignore[reportReturnType] - the same interface, by contract suite

    async def fold_ahead(
        self, projection: Projection, pipeline: Pipeline, goal: Vector | None, tell: Callable[[int], None]
    ) -> Given | None:
        """Fold what is archived below *goal* (None = all) by columns into an empty generation; the caller commits.

        None = there is no archive, or the generation was begun before. *tell* hears how many records are done.
        """
        if self._place is None or any(pipeline.vector.values()):
            return None
        from eventstore.archive.reader import find_chains
        from projections.vectors.engine import Irregular, Vectors, doubt_projection

        if (doubt := doubt_projection(projection)) is not None:
            return Given(doubt=doubt)
        started, loop = time.monotonic(), asyncio.get_running_loop()
        chains = await asyncio.to_thread(find_chains, self._place, pipeline.held)
        ends = {each: chain[-1].end for each, chain in chains.items()}
        until = ends if goal is None else {each: min(end, goal.get(each, 0)) for each, end in ends.items()}
        vectors = Vectors(projection, self._place, chains, until)

        def hear(done: int) -> None:
            loop.call_soon_threadsafe(tell, done)

        try:
            folded = await asyncio.to_thread(vectors.fold, hear)
        except Irregular as error:
            return Given(doubt=str(error))
        moves = {each: Advance(offset, offset, position) for each, (offset, position) in folded.moves.items()}
        pipeline.adopt(folded.rows, moves)
        return Given(folded.records, folded.single, time.monotonic() - started)
