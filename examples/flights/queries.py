"""What the web app asks of the read models: plain SQLAlchemy selects, which join names, weather and the register at read time.

The tables are those of release 1; release 2 has the same columns, so the web app reads both and needs no deployment for a swap.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from examples.flights import aircraft, delays
from examples.flights.departures import departures
from examples.flights.history import midnight
from examples.flights.release1 import punctuality

Query = sa.Executable


def departures_of(origin: str, day: date) -> Query:
    """Select the board of *origin* on *day*, by planned departure, with the current names of airline and destination."""
    flight, airline, airport = departures.table, punctuality.airlines.table, punctuality.airports.table
    joined = flight.outerjoin(airline, airline.c.carrier == flight.c.carrier).outerjoin(
        airport, airport.c.airport == flight.c.dest
    )
    return (
        sa.select(*flight.c, airline.c.name.label("airline"), airport.c.name.label("destination"))
        .select_from(joined)
        .where(flight.c.origin == origin, *_within(flight.c.scheduled_departure, day))
        .order_by(flight.c.scheduled_departure, flight.c.stream)
    )


def routes_of(carrier: str | None = None, origin: str | None = None) -> Query:
    """Select punctuality by airline and route with current names; destinations that are not in the table have none."""
    route, airline, airport = (each.table for each in (punctuality.routes, punctuality.airlines, punctuality.airports))
    joined = route.outerjoin(airline, airline.c.carrier == route.c.carrier).outerjoin(airport, airport.c.airport == route.c.dest)
    query = sa.select(*route.c, airline.c.name.label("airline"), airport.c.name.label("destination")).select_from(joined)
    if carrier:
        query = query.where(route.c.carrier == carrier)
    if origin:
        query = query.where(route.c.origin == origin)
    return query.order_by(route.c.carrier, route.c.origin, route.c.dest)


def punctuality_totals() -> Query:
    """Select one row that sums all routes: what a reader sees of the bug and of its fix."""
    route = punctuality.routes.table.c
    names = ("scheduled", "arrived", "cancelled", "diverted", "on_time", "delay_minutes")
    return sa.select(*(sa.cast(sa.func.coalesce(sa.func.sum(route[name]), 0), sa.BigInteger).label(name) for name in names))


def delays_of(origin: str, day: date) -> Query:
    """Select delays by hour at *origin* on *day*, with the weather of the hour where it was measured."""
    hour, weather = delays.hours.table, delays.weather.table
    joined = hour.outerjoin(weather, sa.and_(weather.c.origin == hour.c.origin, weather.c.hour == hour.c.hour))
    readings = (weather.c.temperature, weather.c.wind_speed, weather.c.precipitation, weather.c.visibility)
    return (
        sa.select(*hour.c, *readings)
        .select_from(joined)
        .where(hour.c.origin == origin, *_within(hour.c.hour, day))
        .order_by(hour.c.hour)
    )


def aircraft_of(tail: str | None = None, limit: int = 50) -> Query:
    """Select the busiest aircraft, or the one called *tail*, with the register's entry where there is one."""
    flown, plane = aircraft.utilisation.table, aircraft.register.table
    joined = flown.outerjoin(plane, plane.c.tail == flown.c.tail)
    query = sa.select(*flown.c, plane.c.manufacturer, plane.c.model, plane.c.year, plane.c.seats).select_from(joined)
    if tail:
        query = query.where(flown.c.tail == tail)
    return query.order_by(flown.c.air_minutes.desc(), flown.c.tail).limit(limit)


def _within(column: sa.Column[Any], day: date) -> tuple[sa.ColumnElement[bool], ...]:
    return column >= midnight(day), column < midnight(day + timedelta(days=1))
