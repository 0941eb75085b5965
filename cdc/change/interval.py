"""An interval as PostgreSQL keeps it: months, days and microseconds apart, because a month has no fixed length.

Read from the ISO 8601 text of `interval.handling.mode=string`. Debezium's default mode sends microseconds in which a month
has already become 30.4375 days; that can't be undone, so it is read as a plain `timedelta`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

_FORM = re.compile(
    r"P(?:([+-]?\d+)Y)?(?:([+-]?\d+)M)?(?:([+-]?\d+)D)?(?:T(?:([+-]?\d+)H)?(?:([+-]?\d+)M)?(?:([+-]?\d*\.?\d+(?:E-?\d+)?)S)?)?\Z"
)


@dataclass(frozen=True, slots=True)
class Interval:
    """A PostgreSQL interval; two are equal when all three parts are."""

    months: int
    days: int
    microseconds: int

    def as_timedelta(self) -> timedelta:
        """Flatten as psycopg does: a year is 365 days, a month 30."""
        years, months = divmod(abs(self.months), 12)
        whole = (years * 365 + months * 30) * (1 if self.months >= 0 else -1)
        return timedelta(days=whole + self.days, microseconds=self.microseconds)

    def __str__(self) -> str:
        seconds = Decimal(f"{self.microseconds}E-6")
        return f"P{self.months}M{self.days}DT{seconds:f}S"


def read_interval(text: str) -> Interval:
    """Read ISO 8601 such as `P1Y2M3DT4H5M6.789S`. Raises ValueError for anything else."""
    match = _FORM.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not an ISO 8601 interval")
    years, months, days, hours, minutes = (int(part or 0) for part in match.groups()[:5])
    micros = int(Decimal(match[6] or 0) * 1_000_000)
    return Interval(years * 12 + months, days, (hours * 3600 + minutes * 60) * 1_000_000 + micros)


def read_duration(micros: int) -> timedelta:
    """Read microseconds of the default interval mode."""
    return timedelta(microseconds=micros)
