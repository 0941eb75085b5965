"""Seeded schedules of writers and ordered readers: ours is right under every one, the classic wrong designs are caught (F03 to F06)."""

from collections import Counter

import pytest

from eventstore.postgres import PostgresEventStore
from tests.faults.planted.orders import SEEDS, BySequence, LooksTwice, Ordered, SkipsGaps, design, kinds_by_reader
from tests.faults.schedule import Schedule, without_guard

RIGHT = [design(Ordered, page) for page in (1, 3, 1000)]
WRONG = [design(kind, 1000) for kind in (BySequence, SkipsGaps, LooksTwice)]


async def test_nothing_appears_behind_a_checkpoint(store: PostgresEventStore) -> None:
    """Our readers see everything once and each stream in order under every schedule; each wrong design loses events under some."""
    caught: Counter[str] = Counter()
    for seed in SEEDS:
        print(f"seed {seed}")
        told = await Schedule(store, seed).run(4, [*RIGHT, *WRONG])
        assert len([each for each in told if each.type == "ok" and each.f == "append"]) > 8
        assert [each for each in told if each.type == "fail"]
        for name, kinds in kinds_by_reader(told).items():
            if name.startswith("Ordered"):
                assert kinds == set(), f"seed {seed}: {name} {kinds}"
            caught[name] += "LOST" in kinds or "LATE" in kinds
    print(caught)
    assert {name for name, times in caught.items() if times} == {"BySequence-1000", "SkipsGaps-1000", "LooksTwice-1000"}, caught


async def test_without_guard_streams_run_backwards(store: PostgresEventStore) -> None:
    """Without the guard of the append functions the same reader gets versions of a stream out of order under some schedule."""
    found: set[str] = set()
    async with without_guard(store):
        for seed in SEEDS:
            found |= set().union(*kinds_by_reader(await Schedule(store, seed).run(4, RIGHT)).values())
    assert "REORDER" in found


@pytest.mark.parametrize("seed", [1])
async def test_same_seed_same_history(store: PostgresEventStore, seed: int) -> None:
    """The same seed tells the same story, so a failing one can be repeated."""
    stories = []
    for _ in range(2):
        told = await Schedule(store, seed, steps=40).run(3, [])
        stories.append([(each.process, each.type, each.f, each.stream) for each in told])
    assert stories[0] == stories[1]
