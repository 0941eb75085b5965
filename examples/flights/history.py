"""The history of a flight, derived from its row: which events, when, under which ids. Pure.

The data give wall clocks and delays. Rules, each checked against the whole year by `tests/unit/examples/`:

1. A flight is scheduled at midnight (New York) of its day.
2. It departs at its planned departure plus the departure delay.
3. The planned arrival is the first instant after the planned departure at which the destination's clock shows it.
4. It arrives at the planned arrival plus the arrival delay. Where the reported clock contradicts that (once in the year, in
   the hour that the change to summer time leaves out) the delay is believed.
5. A cancelled flight is cancelled when it should have departed: the data don't say when it was known.
6. A diverted flight that reached its destination in the end (717 of 1,175) is reported at the first instant after its departure
   at which the destination's clock shows the reported time; one that was never recorded as arrived, when it was due: planned
   arrival plus departure delay.

Ids are uuid5 of stream and version, so that importing twice, or playing a day that was imported, records nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from eventstore.envelope import NewEvent
from examples.flights.data import Flight, zone_of
from examples.flights.events import FlightArrived, FlightCancelled, FlightDeparted, FlightDiverted, FlightScheduled

NEW_YORK = ZoneInfo("America/New_York")
IDS = uuid5(NAMESPACE_URL, "https://example.org/flights")

Happening = tuple[str, NewEvent]
"""A stream and its next event."""


def stream_of(flight: Flight) -> str:
    """Name the stream of *flight*."""
    return f"flight-{flight.day}-{flight.carrier}{flight.number}-{flight.origin}"


@lru_cache(maxsize=400)
def midnight(day: date) -> datetime:
    """Give the instant at which *day* begins in New York."""
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)


def next_instant(after: datetime, clock: int, zone: ZoneInfo) -> datetime:
    """Give the first instant after *after* at which a clock in *zone* shows *clock* minutes past midnight.

    A time that the change to summer time leaves out is read with the offset of before, one that occurs twice the first time
    that is not too early.
    """
    today = datetime.combine(after.astimezone(zone).date(), time(), zone)
    for days in (0, 1, 2):
        shown = today + timedelta(days=days, minutes=clock)
        for fold in (0, 1):
            instant = shown.replace(fold=fold).astimezone(UTC)
            if instant > after:
                return instant
    raise AssertionError(f"no clock in {zone} shows {clock} within two days after {after}")


def events_of(flight: Flight, zones: dict[str, ZoneInfo]) -> list[Happening]:
    """Derive the events of *flight*, in the order in which they happened."""
    stream = stream_of(flight)
    facts = list(_facts(flight, zone_of(zones, flight.dest)))
    return [(stream, NewEvent(fact, uuid5(IDS, f"{stream}/{version}"), when)) for version, (when, fact) in enumerate(facts, 1)]


def history(days: Iterable[tuple[date, list[Flight]]], zones: dict[str, ZoneInfo]) -> Iterator[Happening]:
    """Give every event of *days* (in order) by event time, holding no more than what is in the air at midnight."""
    pending: list[Happening] = []
    for day, flights in days:
        over, pending = _split(pending, midnight(day))
        yield from over
        for flight in flights:
            pending += events_of(flight, zones)
    pending.sort(key=_when)
    yield from pending


def _split(pending: list[Happening], instant: datetime) -> tuple[list[Happening], list[Happening]]:
    over = [happening for happening in pending if _when(happening)[0] < instant]
    over.sort(key=_when)
    return over, [happening for happening in pending if _when(happening)[0] >= instant]


def _when(happening: Happening) -> tuple[datetime, str]:
    stream, new = happening
    assert new.occurred_at is not None
    return new.occurred_at, stream


def _facts(flight: Flight, zone: ZoneInfo) -> Iterator[tuple[datetime, object]]:
    arrives_at = next_instant(flight.departs_at, flight.arrives, zone)
    yield midnight(flight.day), _scheduled(flight, arrives_at)
    if flight.departure_delay is None or flight.tail is None:
        yield flight.departs_at, FlightCancelled(flight.carrier, flight.tail, flight.origin, flight.dest, flight.departs_at)
        return
    departed_at = flight.departs_at + timedelta(minutes=flight.departure_delay)
    yield departed_at, _departed(flight, flight.tail, departed_at, flight.departure_delay)
    if flight.arrival_delay is None or flight.air_minutes is None:
        arrived_at = None if flight.arrived is None else next_instant(departed_at, flight.arrived, zone)
        due = arrives_at + timedelta(minutes=flight.departure_delay)
        yield arrived_at or due, FlightDiverted(flight.carrier, flight.tail, flight.origin, flight.dest, arrived_at)
        return
    arrived_at = arrives_at + timedelta(minutes=flight.arrival_delay)
    yield arrived_at, _arrived(flight, flight.tail, (arrives_at, arrived_at), (flight.arrival_delay, flight.air_minutes))


def _scheduled(flight: Flight, arrives_at: datetime) -> FlightScheduled:
    return FlightScheduled(
        flight.carrier, flight.number, flight.tail, flight.origin, flight.dest, flight.departs_at, arrives_at, flight.miles
    )


def _departed(flight: Flight, tail: str, departed_at: datetime, delay: int) -> FlightDeparted:
    return FlightDeparted(flight.carrier, tail, flight.origin, flight.dest, flight.departs_at, departed_at, delay)


def _arrived(flight: Flight, tail: str, times: tuple[datetime, datetime], minutes: tuple[int, int]) -> FlightArrived:
    return FlightArrived(flight.carrier, tail, flight.origin, flight.dest, *times, *minutes, flight.miles)
