"""Dates and times of every Debezium time mode, exact to the microsecond.

Numbers are counted from 1970-01-01 with `timedelta`, never through `fromtimestamp`, whose floats round. Values PostgreSQL can
hold and `datetime` can't become `Infinity` or `Beyond`, so that one strange row does not stop a reader.
Thresholds: PostgreSQL's own ranges are 4713 BC to 5874897 (date) and 294276 (timestamp); whatever lies outside is how this or
that Debezium release writes infinity (the constants changed over time, so none is compared for equality).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from cdc.change.sentinel import Beyond, Infinity

Moment = date | datetime | Infinity | Beyond

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a timestamp without time zone has none
_LAST_DAY = 2_145_100_000
_FIRST_DAY = -2_500_000
_LAST_MICROSECOND = 9_223_372_036_825_199_999
_FIRST_MICROSECOND = -211_900_000_000_000_000
# What an int overflow of Debezium 3.7 makes of infinity in arrays of dates.
_ARRAY_INFINITY = {-622_191_234: "infinity", -625_821_272: "-infinity"}
# The year that a snapshot of Debezium 3.7 writes in ISO mode for a date of -infinity, without its sign.
_SNAPSHOT_MINUS_INFINITY = 292_269_055
_DAY = 86_400_000_000
_CYCLE_DAYS = 146_097  # the Gregorian calendar repeats every 400 years
_ISO = re.compile(r"([+-]?\d{4,})-(\d\d)-(\d\d)(?:[T ]([\d:.]+))?(Z|[+-]\d\d(?::?\d\d)*)?( BC)?\Z")


def read_days(days: int) -> Moment:
    """Read a date from days since 1970-01-01."""
    try:
        return date.fromordinal(_EPOCH_DAY + days)
    except (ValueError, OverflowError):
        return _beyond_days(days)


def read_micros(micros: int) -> Moment:
    """Read a timestamp without time zone from microseconds since 1970-01-01 00:00."""
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return _beyond_micros(micros)


def read_millis(millis: int) -> Moment:
    """Read a timestamp without time zone from milliseconds since 1970-01-01 00:00."""
    return read_micros(millis * 1000)


def read_nanos(nanos: int) -> Moment:
    """Read a timestamp without time zone from nanoseconds; the int64 limits mean infinity."""
    if abs(nanos) >= 2**63 - 1:
        return Infinity.POSITIVE if nanos > 0 else Infinity.NEGATIVE
    return read_micros(nanos // 1000)


def read_time(micros: int) -> time | Beyond:
    """Read a time of day from microseconds since midnight; 24:00 has no `time`."""
    if micros == _DAY:
        return Beyond("24:00:00")
    if not 0 <= micros < _DAY:
        raise ValueError(f"{micros} microseconds are not a time of day")
    return (_EPOCH + timedelta(microseconds=micros)).time()


def scale_time(unit: int) -> Callable[[int], time | Beyond]:
    """Give a reader of times of day counted in *unit* microseconds (negative: parts of a microsecond)."""
    return (lambda value: read_time(value * unit)) if unit > 0 else lambda value: read_time(value // -unit)


def read_zoned(text: str) -> Moment:
    """Read a timestamp with time zone; the result is in UTC."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return _beyond_text(text)


def read_naive(text: str) -> Moment:
    """Read a timestamp without time zone from text; a `Z` is Debezium's habit in ISO mode and means nothing."""
    try:
        return datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return _beyond_text(text.removesuffix("Z"))


def read_date(text: str) -> Moment:
    """Read a date from text, with or without the `Z` of ISO mode."""
    try:
        return date.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return _beyond_text(text.removesuffix("Z"))


def read_clock(text: str) -> time | Beyond:
    """Read a time of day without time zone from text, with or without the `Z` of ISO mode."""
    bare = text.removesuffix("Z")
    return Beyond("24:00:00") if bare.startswith("24:00") else time.fromisoformat(bare)


def read_zoned_clock(text: str) -> time | Beyond:
    """Read a time of day with its offset; Debezium has already moved it to UTC."""
    return Beyond(text) if text.startswith("24:00") else time.fromisoformat(text)


def _beyond_days(days: int) -> Moment:
    if days in _ARRAY_INFINITY:
        return Infinity(_ARRAY_INFINITY[days])
    if days > _LAST_DAY:
        return Infinity.POSITIVE
    if days < _FIRST_DAY:
        return Infinity.NEGATIVE
    cycles, rest = divmod(days, _CYCLE_DAYS)
    day = date.fromordinal(_EPOCH_DAY + rest)
    return write_year(day.year + 400 * cycles, f"{day:%m-%d}")


def _beyond_micros(micros: int) -> Moment:
    if micros > _LAST_MICROSECOND:
        return Infinity.POSITIVE
    if micros < _FIRST_MICROSECOND:
        return Infinity.NEGATIVE
    days, rest = divmod(micros, _DAY)
    cycles, days = divmod(days, _CYCLE_DAYS)
    day = date.fromordinal(_EPOCH_DAY + days)
    return write_year(day.year + 400 * cycles, f"{day:%m-%d} {_trim(str(read_time(rest)))}")


def _beyond_text(text: str) -> Moment:
    if text in ("infinity", "-infinity"):
        return Infinity(text)
    match = _ISO.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a date or time")
    year, month, day, clock, zone, era = match.groups()
    number = 1 - int(year) if era else int(year)
    if number == _SNAPSHOT_MINUS_INFINITY:
        return Infinity.NEGATIVE
    if number > 5_874_897 or number < -4800:  # wider than PostgreSQL's dates
        return Infinity.POSITIVE if number > 0 else Infinity.NEGATIVE
    return write_year(number, f"{month}-{day}" + (f" {_trim(clock)}" if clock else "") + ("+00" if zone == "Z" else zone or ""))


def _trim(clock: str) -> str:
    return clock.rstrip("0").rstrip(".") if "." in clock else clock


def write_year(year: int, rest: str) -> Beyond:
    """Write a date outside of `datetime` as PostgreSQL does; *year* 0 is 1 BC."""
    return Beyond(f"{1 - year:04}-{rest} BC" if year <= 0 else f"{year:04}-{rest}")
