"""Estimates: where they come from, and the one that refuses."""

import pytest

from eventstore.errors import PreconditionFailed
from replay.cost import RATE, Cost, find_rate, require_room, scale_size, show_bytes, show_time


def swapped(records, rate, action="swap"):
    return {"action": action, "detail": {"records": records, "rate": rate}}


def test_rate():
    """The rate is that of the newest rebuild that read enough to tell; rollbacks and short ones tell nothing."""
    audit = [
        swapped(0, 0, "rollback"),
        swapped(200, 90),
        swapped(50_000, 81_000),
        swapped(90_000, 40_000),
        {"action": "swap", "detail": {}},
    ]
    assert find_rate(audit) == 81_000
    assert find_rate(audit[:2]) is None
    assert find_rate([]) is None


def test_seconds():
    """Seconds follow from the rate, which says whether it was measured."""
    assert Cost(600_000).seconds == pytest.approx(600_000 / RATE)
    assert "assumed" in Cost(10).lines()[0]
    assert "10 s at 1,000 records/s (last rebuild)" in Cost(10_000, rate=1_000, measured=True).lines()[0]


def test_size():
    """A generation of twice the records takes twice the room, one of fewer no less, and none is assumed without records."""
    assert scale_size(1000, 10, 20) == 2000
    assert scale_size(1000, 10, 5) == 1000
    assert scale_size(1000, 0, 5) == 1000


def test_room():
    """A build is refused when it would leave less than the reserve, with the figures; what can't be known refuses nothing."""
    require_room(Cost(1, disk_bytes=800, free_bytes=1100), 100)
    require_room(Cost(1, disk_bytes=800), 1 << 40)
    require_room(Cost(1, free_bytes=1), 1 << 40)
    with pytest.raises(PreconditionFailed, match="1,000 bytes and 101 bytes must stay free") as refused:
        require_room(Cost(1, disk_bytes=800, free_bytes=1100), 101)
    assert refused.value.facts == {"needed_bytes": 1000, "free_bytes": 1100}


def test_shown():
    """Bytes and seconds are written for people."""
    assert [show_bytes(each) for each in (1023, 2048, 3 << 20, 5 << 40)] == ["1,023 bytes", "2 KiB", "3 MiB", "5,120.0 GiB"]
    assert [show_time(each) for each in (0.2, 119, 250)] == ["1 s", "119 s", "4 min 10 s"]
