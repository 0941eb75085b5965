"""Departure board: one row per flight, the row key being the flight's stream."""

from dataclasses import dataclass
from datetime import datetime

from eventstore.envelope import Envelope
from examples.flights.events import FlightArrived, FlightCancelled, FlightDeparted, FlightDiverted, FlightScheduled
from projections import Projection

board = Projection("departure-board", version=1)


@dataclass(slots=True)
class Departure:
    """A flight as passengers see it. *status*: scheduled, departed, arrived, cancelled or diverted; delays in minutes."""

    stream: str
    carrier: str
    number: int
    tail: str | None
    origin: str
    dest: str
    scheduled_departure: datetime
    scheduled_arrival: datetime
    status: str = "scheduled"
    departure: datetime | None = None
    arrival: datetime | None = None
    departure_delay: int | None = None
    arrival_delay: int | None = None


departures = board.table(Departure, key="stream", indexes=[("origin", "scheduled_departure")])


@departures.on(FlightScheduled)
def scheduled(event: FlightScheduled, _row: Departure | None, envelope: Envelope[FlightScheduled]) -> Departure:
    """Put the flight on the board."""
    return Departure(
        envelope.stream,
        event.carrier,
        event.number,
        event.tail,
        event.origin,
        event.dest,
        event.departs_at,
        event.arrives_at,
    )


@departures.on(FlightDeparted)
def departed(event: FlightDeparted, row: Departure | None) -> Departure:
    """Show when it left."""
    assert row is not None, "a stream begins with flight-scheduled"
    row.status, row.departure, row.departure_delay = "departed", event.departed_at, event.delay
    return row


@departures.on(FlightArrived)
def arrived(event: FlightArrived, row: Departure | None) -> Departure:
    """Show when it arrived."""
    assert row is not None, "a stream begins with flight-scheduled"
    row.status, row.arrival, row.arrival_delay = "arrived", event.arrived_at, event.delay
    return row


@departures.on(FlightCancelled)
def cancelled(_event: FlightCancelled, row: Departure | None) -> Departure:
    """Show that it won't leave."""
    assert row is not None, "a stream begins with flight-scheduled"
    row.status = "cancelled"
    return row


@departures.on(FlightDiverted)
def diverted(event: FlightDiverted, row: Departure | None) -> Departure:
    """Show that it went elsewhere, and when it reached its destination after all, if it did."""
    assert row is not None, "a stream begins with flight-scheduled"
    row.status, row.arrival = "diverted", event.arrived_at
    return row
