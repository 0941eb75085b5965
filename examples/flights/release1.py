"""The app as it was first deployed. It has a bug: see `cancelled`."""

from examples.flights.aircraft import aircraft
from examples.flights.delays import delays
from examples.flights.departures import board
from examples.flights.events import FlightCancelled
from examples.flights.punctuality import Route, declare, route_of
from projections import Projections


def cancelled(event: FlightCancelled, row: Route | None) -> Route:
    """Count a cancelled flight. The bug: what never left was not late, so it is counted as on time."""
    row = row or Route(*route_of(event))
    row.cancelled += 1
    row.on_time += 1
    return row


punctuality = declare(version=1, cancelled=cancelled)
app = Projections(board, punctuality.projection, delays, aircraft)
