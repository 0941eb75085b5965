"""The events that are derived from the raw flights, against pandas over the same files."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.flights import oracle
from examples.flights.data import FIRST_DAY, LAST_DAY, flights, zone_of, zones
from examples.flights.events import FlightArrived, FlightCancelled, FlightDeparted, FlightDiverted, FlightScheduled
from examples.flights.history import events_of, history, midnight, next_instant, stream_of

KINDS = {
    FlightScheduled: "scheduled_at",
    FlightDeparted: "departed_at",
    FlightArrived: "arrived_at",
    FlightCancelled: "cancelled_at",
    FlightDiverted: "diverted_at",
}
WINDOWS = [
    (date(2013, 3, 9), date(2013, 3, 11)),  # summer time begins
    (date(2013, 11, 2), date(2013, 11, 4)),  # and ends
    (date(2013, 2, 8), date(2013, 2, 9)),  # a blizzard
    (date(2013, 12, 30), date(2013, 12, 31)),
]
SUMMER_GAP = date(2013, 3, 9)
PLACES = st.sampled_from(["America/New_York", "America/Phoenix", "Pacific/Honolulu", "America/Puerto_Rico", "America/Anchorage"])
INSTANTS = st.integers(0, 364 * 1440).map(lambda minutes: datetime(2013, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes))


def happenings(first, last):
    """Tell the days from *first* to *last*."""
    return list(history(flights(first, last), zones()))


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_instants(window):
    """Every event happens at the instant that an independent computation gives for its flight."""
    known = oracle.facts(*window)
    wanted = {
        (stream, kind): instant
        for kind, column in KINDS.items()
        for stream, instant in zip(known["stream"], known[column], strict=True)
        if not oracle.pd.isna(instant)
    }
    assert {(stream, type(new.event)): new.occurred_at for stream, new in happenings(*window)} == wanted


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_event_time_order(window):
    """The history is told by event time, and each stream's events in the order in which they can happen."""
    told = happenings(*window)
    assert all(earlier.occurred_at <= later.occurred_at for (_, earlier), (_, later) in pairwise(told))
    streams = groupby(sorted(told, key=lambda each: each[0]), key=lambda each: each[0])
    shapes = {tuple(type(new.event) for _, new in events) for _, events in streams}
    assert shapes <= {
        (FlightScheduled, FlightCancelled),
        (FlightScheduled, FlightDeparted, FlightArrived),
        (FlightScheduled, FlightDeparted, FlightDiverted),
    }


def test_ids_repeat():
    """Telling a day twice gives the same ids, and no two events share one."""
    day = LAST_DAY
    first, second = happenings(day, day), happenings(day, day)
    assert [new.id for _, new in first] == [new.id for _, new in second]
    assert len({new.id for _, new in first}) == len(first)


def test_days_apart():
    """A day told on its own gives the events that it has in the telling of its neighbours too."""
    apart = happenings(date(2013, 7, 1), date(2013, 7, 1)) + happenings(date(2013, 7, 2), date(2013, 7, 2))
    assert sorted(apart, key=str) == sorted(happenings(date(2013, 7, 1), date(2013, 7, 2)), key=str)


@pytest.fixture(scope="module")
def year():
    """Tell the whole year once: events by kind, streams, and the days on which an arrival contradicts the reported clock."""
    at = zones()
    kinds, streams, contradicted = Counter(), set(), []
    for _, day in flights(FIRST_DAY, LAST_DAY):
        for flight in day:
            streams.add(stream_of(flight))
            events = [new.event for _, new in events_of(flight, at)]
            kinds.update(type(each) for each in events)
            if isinstance(events[-1], FlightArrived):
                local = events[-1].arrived_at.astimezone(zone_of(at, flight.dest))
                if local.hour * 60 + local.minute != flight.arrived % 1440:
                    contradicted.append(flight.day)
    return kinds, streams, contradicted


def test_whole_year(year):
    """The year has one event per reported fact: counted once by pandas and once by telling it."""
    raw = oracle.read("flights")
    departed = int(raw["dep_time"].notna().sum())
    arrived = int(raw["arr_delay"].notna().sum())
    kinds, _, _ = year
    assert kinds == {
        FlightScheduled: len(raw),
        FlightDeparted: departed,
        FlightCancelled: len(raw) - departed,
        FlightArrived: arrived,
        FlightDiverted: departed - arrived,
    }
    assert kinds.total() == 1_002_073


def test_clocks_agree(year):
    """The reported arrival clock agrees with the derived instant for all flights but the one in the summer-time gap."""
    _, _, contradicted = year
    assert contradicted == [SUMMER_GAP]


def test_streams_are_flights(year):
    """A stream's name tells one flight on one day from all others."""
    _, streams, _ = year
    assert len(streams) == 336_776


@given(after=INSTANTS, clock=st.integers(0, 1440), place=PLACES)
def test_next_instant(after, clock, place):
    """The next instant of a clock time lies ahead by at most 25 hours and shows that time, unless summer time leaves it out."""
    zone = ZoneInfo(place)
    found = next_instant(after, clock, zone)
    local = found.astimezone(zone)
    assert timedelta() < found - after <= timedelta(hours=25)
    left_out = local.date() == date(2013, 3, 10) and 120 <= clock < 180
    assert left_out or local.hour * 60 + local.minute == clock % 1440


def test_midnight_follows_summer_time():
    """A New York day begins at 05:00 UTC in winter and at 04:00 UTC in summer."""
    assert midnight(date(2013, 1, 1)) == datetime(2013, 1, 1, 5, tzinfo=UTC)
    assert midnight(date(2013, 7, 1)) == datetime(2013, 7, 1, 4, tzinfo=UTC)
