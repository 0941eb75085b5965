"""What any place for snapshots promises."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from eventstore.snapshot import Snapshot, Snapshots, seal


@pytest.fixture
def snapshot() -> Snapshot:
    return Snapshot("a", "fold-1", 5, uuid4(), {"noted": "f00"}, b'{"n":5}', seal(b'{"n":5}'))


async def test_found(kept: Snapshots, snapshot: Snapshot) -> None:
    """A snapshot is found by stream and fold, up to a version."""
    await kept.save(snapshot)
    assert await kept.find("a", "fold-1", 5) == snapshot
    assert await kept.find("a", "fold-1", 4) is None
    assert await kept.find("a", "fold-2", 9) is None
    assert await kept.find("b", "fold-1", 9) is None


async def test_newest(kept: Snapshots, snapshot: Snapshot) -> None:
    """The newer of two is kept, in whichever order they come; two folds of a stream keep one each."""
    newer = replace(snapshot, version=7)
    other = replace(snapshot, fingerprint="fold-2", version=3)
    for each in (newer, snapshot, other):
        await kept.save(each)
    assert await kept.find("a", "fold-1", 9) == newer
    assert await kept.find("a", "fold-2", 9) == other


async def test_dropped(kept: Snapshots, snapshot: Snapshot) -> None:
    """Snapshots of one stream, or all, can be dropped."""
    for each in (snapshot, replace(snapshot, stream="b"), replace(snapshot, stream="c")):
        await kept.save(each)
    assert await kept.drop("b") == 1
    assert await kept.drop() == 2
    assert await kept.find("a", "fold-1", 9) is None
