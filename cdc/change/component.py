"""Dates, times and intervals by their components, as `time.precision.mode=structured` writes them.

The only mode of Debezium that keeps the offset of a `timetz` and the months of an interval beside times that no epoch cuts off.
Years are counted astronomically: 0 is 1 BC.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

from cdc.change.interval import Interval
from cdc.change.moment import Moment, write_year
from cdc.change.sentinel import Beyond, Infinity

Parts = dict[str, Any]
_SPECIAL = {"POSITIVE_INFINITY": Infinity.POSITIVE, "NEGATIVE_INFINITY": Infinity.NEGATIVE}


def read_date_parts(parts: Parts) -> Moment:
    """Read a StructuredDate."""
    if special := parts["specialValue"]:
        return _SPECIAL[special]
    year, month, day = parts["year"], parts["month"], parts["day"]
    return date(year, month, day) if 1 <= year <= 9999 else write_year(year, f"{month:02}-{day:02}")


def read_time_parts(parts: Parts) -> time | Beyond:
    """Read a StructuredTime, or a StructuredZonedTime with the offset that it was written with."""
    if parts["hour"] == 24:
        return Beyond("24:00:00")
    zone = None if parts.get("offsetSeconds") is None else _zone(parts["offsetSeconds"])
    return time(parts["hour"], parts["minute"], parts["second"], parts["nanos"] // 1000, tzinfo=zone)


def read_timestamp_parts(parts: Parts) -> Moment:
    """Read a StructuredTimestamp, or a StructuredZonedTimestamp, which is given in UTC."""
    if special := parts["specialValue"]:
        return _SPECIAL[special]
    year, month, day, offset = parts["year"], parts["month"], parts["day"], parts.get("offsetSeconds")
    clock = time(parts["hour"], parts["minute"], parts["second"], parts["nanos"] // 1000)
    if not 1 <= year <= 9999:
        zone = "" if offset is None else str(datetime.min.replace(tzinfo=_zone(offset)))[19:].removesuffix(":00")
        text = f"{clock}".rstrip("0").rstrip(".") if clock.microsecond else f"{clock}"
        return write_year(year, f"{month:02}-{day:02} {text}{zone}")
    moment = datetime.combine(date(year, month, day), clock)
    return moment if offset is None else moment.replace(tzinfo=_zone(offset)).astimezone(UTC)


def read_interval_parts(parts: Parts) -> Interval:
    """Read a StructuredDuration."""
    seconds = (parts["hours"] * 60 + parts["minutes"]) * 60 + parts["seconds"]
    return Interval(parts["years"] * 12 + parts["months"], parts["days"], seconds * 1_000_000 + _trunc(parts["nanos"]))


def _trunc(nanos: int) -> int:
    return nanos // 1000 if nanos >= 0 else -(-nanos // 1000)


def _zone(seconds: int) -> timezone:
    return UTC if seconds == 0 else timezone(timedelta(seconds=seconds))
