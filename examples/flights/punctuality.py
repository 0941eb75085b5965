"""Punctuality per airline and route, beside the current names of airlines and airports.

Names come from another topic, and no order is given between topics: so they are kept in tables of their own and joined when
somebody reads. A renamed airline then shows its new name at once, also beside flights of long ago.

What both releases of the app share is here; `release1` and `release2` say what a cancelled flight counts as.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cdc import CapturedTable, Change
from examples.flights.events import FlightArrived, FlightCancelled, FlightDiverted, FlightScheduled
from projections import Projection
from projections.declaration.projection import RowTable

AIRLINES = CapturedTable("operations", "public.airlines")
AIRPORTS = CapturedTable("operations", "public.airports")
LATE = 15
"""Minutes from which an arrival is late, as airlines count."""


@dataclass(slots=True)
class Route:
    """One airline on one route: flights by outcome; *delay_minutes* sums what its arrivals were late, early ones being 0."""

    carrier: str
    origin: str
    dest: str
    scheduled: int = 0
    arrived: int = 0
    cancelled: int = 0
    diverted: int = 0
    on_time: int = 0
    delay_minutes: int = 0


@dataclass(slots=True)
class AirlineName:
    """What an airline is called now."""

    carrier: str
    name: str


@dataclass(slots=True)
class AirportName:
    """What an airport is called now. Some destinations have no row."""

    airport: str
    name: str


class Punctuality(NamedTuple):
    """The declared projection and its tables."""

    projection: Projection
    routes: RowTable[Route]
    airlines: RowTable[AirlineName]
    airports: RowTable[AirportName]


RouteEvent = FlightScheduled | FlightArrived | FlightCancelled | FlightDiverted
CancelledHandler = Callable[[FlightCancelled, Route | None], Route]


def route_of(event: RouteEvent) -> tuple[str, str, str]:
    """Give the row key: airline and route."""
    return event.carrier, event.origin, event.dest


def scheduled(event: FlightScheduled, row: Route | None) -> Route:
    """Count a planned flight."""
    row = row or Route(*route_of(event))
    row.scheduled += 1
    return row


def arrived(event: FlightArrived, row: Route | None) -> Route:
    """Count an arrival, and whether it was late."""
    row = row or Route(*route_of(event))
    row.arrived += 1
    row.on_time += event.delay < LATE
    row.delay_minutes += max(event.delay, 0)
    return row


def diverted(event: FlightDiverted, row: Route | None) -> Route:
    """Count a flight that went elsewhere: neither arrived nor on time."""
    row = row or Route(*route_of(event))
    row.diverted += 1
    return row


def name_airline(change: Change, _row: AirlineName | None) -> AirlineName | None:
    """Keep an airline's newest name."""
    return None if change.after is None else AirlineName(change.key[0], change.after["name"])


def name_airport(change: Change, _row: AirportName | None) -> AirportName | None:
    """Keep an airport's newest name."""
    return None if change.after is None else AirportName(change.key[0], change.after["name"])


def declare(*, version: int, cancelled: CancelledHandler) -> Punctuality:
    """Declare the projection as *version*, which counts cancelled flights by *cancelled*."""
    projection = Projection("punctuality", version=version)
    routes = projection.table(Route, key=("carrier", "origin", "dest"))
    routes.on(FlightScheduled, key=route_of)(scheduled)
    routes.on(FlightArrived, key=route_of)(arrived)
    routes.on(FlightCancelled, key=route_of)(cancelled)
    routes.on(FlightDiverted, key=route_of)(diverted)
    airlines = projection.table(AirlineName, key="carrier")
    airlines.on_change(AIRLINES)(name_airline)
    airports = projection.table(AirportName, key="airport")
    airports.on_change(AIRPORTS)(name_airport)
    return Punctuality(projection, routes, airlines, airports)
