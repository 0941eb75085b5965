"""What each aircraft did: flights, hours and miles per tail number, beside the register's entry for it.

721 of 4,043 tail numbers are not in the register, and entries are deleted: they are joined when somebody reads.
"""

from dataclasses import dataclass
from datetime import datetime

from cdc import CapturedTable, Change
from examples.flights.events import FlightArrived, FlightDeparted, FlightDiverted
from projections import Projection

PLANES = CapturedTable("operations", "public.planes")

aircraft = Projection("aircraft", version=1)


@dataclass(slots=True)
class Aircraft:
    """One tail number's year. *air_minutes* and *miles* are of flights that arrived; times are actual departures."""

    tail: str
    departures: int = 0
    arrivals: int = 0
    diversions: int = 0
    air_minutes: int = 0
    miles: int = 0
    first_departure: datetime | None = None
    last_departure: datetime | None = None


@dataclass(slots=True)
class Plane:
    """The register's entry."""

    tail: str
    manufacturer: str | None
    model: str | None
    year: int | None
    seats: int | None


utilisation = aircraft.table(Aircraft, key="tail")
register = aircraft.table(Plane, key="tail")


def tail_of(event: FlightDeparted | FlightArrived | FlightDiverted) -> str:
    """Give the row key: the tail number."""
    return event.tail


@utilisation.on(FlightDeparted, key=tail_of)
def departed(event: FlightDeparted, row: Aircraft | None) -> Aircraft:
    """Count a departure; flights come in any order, so the earliest and the latest are kept by comparing."""
    row = row or Aircraft(event.tail)
    row.departures += 1
    row.first_departure = min(row.first_departure or event.departed_at, event.departed_at)
    row.last_departure = max(row.last_departure or event.departed_at, event.departed_at)
    return row


@utilisation.on(FlightArrived, key=tail_of)
def arrived(event: FlightArrived, row: Aircraft | None) -> Aircraft:
    """Add up time in the air and miles."""
    row = row or Aircraft(event.tail)
    row.arrivals += 1
    row.air_minutes += event.air_minutes
    row.miles += event.miles
    return row


@utilisation.on(FlightDiverted, key=tail_of)
def diverted(event: FlightDiverted, row: Aircraft | None) -> Aircraft:
    """Count a diversion."""
    row = row or Aircraft(event.tail)
    row.diversions += 1
    return row


@register.on_change(PLANES)
def registered(change: Change, _row: Plane | None) -> Plane | None:
    """Keep the register's newest entry; a scrapped aircraft goes."""
    if change.after is None:
        return None
    new = change.after
    return Plane(new["tailnum"], new["manufacturer"], new["model"], new["year"], new["seats"])
