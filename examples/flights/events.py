"""What can happen to a flight. One stream is one flight on one day: `flight-2013-01-01-UA1545-EWR`.

Every event carries what its readers group by (airline, route, aircraft, planned departure), so that no reader has to look
another event up. Times are aware UTC, delays whole minutes and negative when early.
"""

from datetime import datetime

from eventstore.event import event


@event("flight-scheduled")
class FlightScheduled:
    """The day's timetable has this flight."""

    carrier: str
    number: int
    tail: str | None
    origin: str
    dest: str
    departs_at: datetime
    arrives_at: datetime
    miles: int


@event("flight-departed")
class FlightDeparted:
    """It left the gate, *delay* minutes after *departs_at*."""

    carrier: str
    tail: str
    origin: str
    dest: str
    departs_at: datetime
    departed_at: datetime
    delay: int


@event("flight-arrived")
class FlightArrived:
    """It reached the gate at its destination, *delay* minutes after *arrives_at*."""

    carrier: str
    tail: str
    origin: str
    dest: str
    arrives_at: datetime
    arrived_at: datetime
    delay: int
    air_minutes: int
    miles: int


@event("flight-cancelled")
class FlightCancelled:
    """It never left."""

    carrier: str
    tail: str | None
    origin: str
    dest: str
    departs_at: datetime


@event("flight-diverted")
class FlightDiverted:
    """It left and did not arrive as planned; *arrived_at* is when it reached the destination all the same, if it did."""

    carrier: str
    tail: str
    origin: str
    dest: str
    arrived_at: datetime | None
