"""How fast a build may go beside a live generation: as fast as it can while that one keeps up, else less and less. Pure.

The share of time in which the build works halves with every look that finds the live generation too far behind, and grows again by a tenth
when it is not: the rule by which TCP shares a line. It never falls below a twentieth, so a build always ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from projections.control.checkpoint import Partition, Vector, has_reached

LEAST = 0.05
FED_S = 10.0
"""Seconds without a step after which a generation counts as fed by nobody; then there is nobody to protect."""
MOST_PAUSE_S = 2.0


class Lag:
    """How far a generation is behind the log: in records, and in seconds since the log held the oldest record that it lacks."""

    def __init__(self) -> None:
        self.records = 0
        self.seconds = 0.0
        self._waiting: deque[tuple[float, Vector]] = deque()
        self._seen: Vector = {}
        self._moved: float | None = None

    def observe(self, now: float, ends: Mapping[Partition, int], seen: Mapping[Partition, int]) -> None:
        """Note that at *now* (seconds) the log ends at *ends* and the generation has read up to *seen*."""
        self.records = sum(max(0, end - seen.get(each, 0)) for each, end in ends.items())
        self._waiting.append((now, dict(ends)))
        while self._waiting and has_reached(seen, self._waiting[0][1]):
            self._waiting.popleft()
        self.seconds = now - self._waiting[0][0] if self._waiting else 0.0
        if self._seen and dict(seen) != self._seen:
            self._moved = now
        self._seen = dict(seen)

    def is_fed(self, now: float) -> bool:
        """Say whether somebody feeds the generation: it moved lately."""
        return self._moved is not None and now - self._moved < FED_S


class Pace:
    """The build's share of time, from 1 down to LEAST."""

    def __init__(self) -> None:
        self.share = 1.0

    def judge(self, *, too_far: bool) -> None:
        """Slow down, or pick up."""
        self.share = max(LEAST, self.share / 2) if too_far else min(1.0, self.share + 0.1)

    def pause(self, worked_s: float) -> float:
        """Give the seconds to rest after *worked_s* seconds of work."""
        return min(MOST_PAUSE_S, worked_s * (1 / self.share - 1))
