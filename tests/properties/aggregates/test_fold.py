"""Whatever happens in whichever order: a load with snapshots gives the state of the full fold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore import event
from eventstore.decider import Decider
from eventstore.repository import Repository
from eventstore.snapshot import every
from eventstore.testing import Clock, MemoryEventStore, MemorySnapshots

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@event("fold-property-moved")
class Moved:
    who: str
    by: int
    at: datetime | None = None


@dataclass(frozen=True)
class Places:
    by_name: dict[str, tuple[int, ...]]
    last: datetime | None = None


def begin() -> Places:
    return Places({})


def evolve(places: Places, moved: Moved) -> Places:
    trail = (*places.by_name.get(moved.who, (0,))[-3:], moved.by)
    return Places({**places.by_name, moved.who: trail}, moved.at or places.last)


def decide(moves: Sequence[Moved], _: Places) -> Sequence[Moved]:
    return moves


moves = st.builds(
    Moved,
    st.text("ab√ ", min_size=1, max_size=2),
    st.integers(-(2**53), 2**53),
    st.none() | st.datetimes(timezones=OFFSETS),
)
places = Decider(begin, evolve, decide)


@given(batches=st.lists(st.lists(moves, max_size=3), min_size=1, max_size=8), step=st.integers(1, 4), back=st.integers(0, 20))
@settings(deadline=None, max_examples=60)
def test_equal(batches: list[list[Moved]], step: int, back: int) -> None:
    """States by snapshot, by version and by time are those of folding the events one by one."""

    async def run() -> None:
        clock = Clock()
        store, snapshots = MemoryEventStore(clock), MemorySnapshots()
        async with Repository(store, places, snapshots=snapshots, policy=every(step)) as repository:
            times, all_moves = [], list[Moved]()
            for batch in batches:
                handled = await repository.handle("s", batch)
                await repository.settle()
                all_moves += handled.events
                times.append((clock(), len(all_moves)))
                assert handled.state == places.fold(all_moves)
                assert (await repository.load("s")).state == places.fold(all_moves)
                clock.advance(timedelta(seconds=1))
            at = min(back, len(all_moves))
            assert (await repository.load("s", version=at)).state == places.fold(all_moves[:at])
            for time, count in times:
                assert (await repository.load("s", as_of=time)).state == places.fold(all_moves[:count])

    asyncio.run(run())
