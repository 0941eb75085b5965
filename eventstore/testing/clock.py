"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from eventstore.stream import check_moment


class Clock:
    """Call it for the time, aware and in UTC; `advance` and `set` move it, forwards or back."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC) if now is None else check_moment(now).astimezone(UTC)

    def __call__(self) -> datetime:
        """Give the time."""
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move the clock on and give its time."""
        self._now += by
        return self._now

    def set(self, now: datetime) -> datetime:
        """Move the clock to *now* and give it."""
        self._now = check_moment(now).astimezone(UTC)
        return self._now
