"""The app with the bug fixed: `punctuality` is version 2 and has to be replayed; the other projections are as they were."""

from typing import Any

import sqlalchemy as sa

from examples.flights.aircraft import aircraft
from examples.flights.delays import delays
from examples.flights.departures import board
from examples.flights.events import FlightCancelled
from examples.flights.punctuality import Route, declare, route_of
from projections import Projections


def cancelled(event: FlightCancelled, row: Route | None) -> Route:
    """Count a cancelled flight, which is not on time."""
    row = row or Route(*route_of(event))
    row.cancelled += 1
    return row


punctuality = declare(version=2, cancelled=cancelled)
app = Projections(board, punctuality.projection, delays, aircraft)


@punctuality.projection.check
def more_on_time_than_arrived() -> sa.Select[Any]:
    """Find routes on which more flights were on time than arrived: the bug that version 2 must not have."""
    route = punctuality.routes.table.c
    return sa.select(sa.func.concat_ws(" ", route.carrier, route.origin, route.dest)).where(route.on_time > route.arrived)
