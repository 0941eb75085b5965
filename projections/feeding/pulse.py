"""Whether a worker really works: when its loop last turned, Kafka last answered, PostgreSQL last committed, and how the lag goes. Pure.

That a process runs, or that a fetch came back empty, proves nothing: Kafka's client gives the same for "no news" and for "no broker".
So each sign is an answer of a server, and each has a time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

WINDOW: Final = 30
"""How many looks at the lag, one a second, its trend is taken from."""


@dataclass(slots=True)
class Pulse:
    """The signs of life of one worker, as seconds of a monotonic clock. *born* stands for whatever has not happened yet."""

    name: str
    born: float
    is_open: bool = False
    error: str | None = None
    turned: float = field(init=False)
    heard: float = field(init=False)
    committed: float = field(init=False)
    moved: float = field(init=False)
    opened: float = field(init=False)
    lag: int | None = None
    copies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Copies that are behind their tables, and whether for too long (`Copies.describe`)."""
    _applied: int = -1
    _lags: deque[tuple[float, int]] = field(default_factory=lambda: deque[tuple[float, int]](maxlen=WINDOW))

    def __post_init__(self) -> None:
        self.turned = self.heard = self.committed = self.moved = self.opened = self.born

    def turn(self, now: float, *, is_open: bool) -> None:
        """Note that the loop came round. *is_open*: it has its partitions, even if none fell to it."""
        self.turned, self.is_open = now, is_open
        if is_open:
            self.opened, self.error = now, None

    def hear(self, now: float, lag: int, applied: int) -> None:
        """Note that Kafka said where the log ends: *lag* records ahead of what this worker, after *applied*, has read."""
        if lag == 0 or applied != self._applied:
            self.moved = now
        self.heard, self.lag, self._applied = now, lag, applied
        self._lags.append((now, lag))

    @property
    def trend(self) -> float | None:
        """By how many records a second the lag grows; None = seen less than twice."""
        if len(self._lags) < 2:
            return None
        (since, first), (until, last) = self._lags[0], self._lags[-1]
        return (last - first) / max(until - since, 1e-6)

    def judge(self, now: float, limit_s: float) -> list[str]:
        """Say what has not happened for *limit_s* seconds though it should; nothing = the worker works."""
        told = [
            (now - self.turned, "the loop has hung for {:.0f} s, in a handler or waiting for PostgreSQL"),
            (now - self.heard, "Kafka has not answered for {:.0f} s"),
            (now - self.opened, "no assignment of the consumer group for {:.0f} s"),
            (now - self.committed if self.is_open else 0.0, "PostgreSQL has taken no checkpoint for {:.0f} s"),
            (now - self.moved if self.lag else 0.0, f"{self.lag} records wait and none was applied for {{:.0f}} s"),
        ]
        return [text.format(age) for age, text in told if age > limit_s]

    def judge_copies(self) -> list[str]:
        """Say which copies have been behind for too long; the tables are not, so nothing is wrong with the worker."""
        text = "the copy {sink} has been behind for {behind_s:.0f} s, by {behind_rows} rows: {reason}"
        return [text.format(**each) for each in self.copies if each["late"]]

    def facts(self, now: float) -> dict[str, Any]:
        """Give all of it for a person or a program."""
        return {
            "generation": self.name,
            "assigned": self.is_open,
            "turn_age_s": round(now - self.turned, 3),
            "fetch_age_s": round(now - self.heard, 3),
            "commit_age_s": round(now - self.committed, 3),
            "lag": self.lag,
            "lag_trend_per_s": None if self.trend is None else round(self.trend, 3),
            "copies": self.copies,
            "error": self.error,
        }
