"""Delay by airport of origin and hour, beside the weather of that hour.

The key is the hour of the *planned* departure, in which the weather was measured too. Weather comes from another topic and is
corrected later, so it is joined when somebody reads.
"""

from dataclasses import dataclass
from datetime import datetime

from cdc import CapturedTable, Change
from examples.flights.events import FlightCancelled, FlightDeparted
from projections import Projection

WEATHER = CapturedTable("operations", "public.weather")
LATE = 15
"""Minutes from which a departure is late, as airports count."""

delays = Projection("delays", version=1)


@dataclass(slots=True)
class OriginHour:
    """Departures planned in one hour at one airport; *delay_minutes* is the sum of their delays, early ones being negative."""

    origin: str
    hour: datetime
    departures: int = 0
    cancelled: int = 0
    late: int = 0
    delay_minutes: int = 0


@dataclass(slots=True)
class HourlyWeather:
    """Fahrenheit, miles per hour, inches, miles; None where the station was silent."""

    origin: str
    hour: datetime
    temperature: float | None
    wind_speed: float | None
    precipitation: float | None
    visibility: float | None


hours = delays.table(OriginHour, key=("origin", "hour"))
weather = delays.table(HourlyWeather, key=("origin", "hour"))


def hour_of(event: FlightDeparted | FlightCancelled) -> tuple[str, datetime]:
    """Give the row key: origin and hour of the planned departure."""
    return event.origin, event.departs_at.replace(minute=0)


@hours.on(FlightDeparted, key=hour_of)
def departed(event: FlightDeparted, row: OriginHour | None) -> OriginHour:
    """Count a departure and add up its delay."""
    row = row or OriginHour(*hour_of(event))
    row.departures += 1
    row.late += event.delay >= LATE
    row.delay_minutes += event.delay
    return row


@hours.on(FlightCancelled, key=hour_of)
def cancelled(event: FlightCancelled, row: OriginHour | None) -> OriginHour:
    """Count a cancelled departure."""
    row = row or OriginHour(*hour_of(event))
    row.cancelled += 1
    return row


@weather.on_change(WEATHER)
def measured(change: Change, _row: HourlyWeather | None) -> HourlyWeather | None:
    """Keep the newest reading of an hour; a withdrawn one goes."""
    if change.after is None:
        return None
    new = change.after
    return HourlyWeather(new["origin"], new["time_hour"], new["temp"], new["wind_speed"], new["precip"], new["visib"])
