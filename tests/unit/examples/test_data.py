"""The raw data are what the example's rules and its README say they are."""

import pytest

from examples.flights import oracle
from examples.flights.data import FIRST_DAY, flights, records, zone_of, zones

NEVER_IN_AIRPORTS = {"BQN", "PSE", "SJU", "STT"}


@pytest.fixture(scope="module")
def raw():
    """Give the raw flights."""
    return oracle.read("flights")


def test_unique(raw):
    """Hour, carrier and number name a flight, and so do day, carrier, number and origin, which a stream is called after."""
    assert not raw.duplicated(["time_hour", "carrier", "flight"]).any()
    assert not raw.duplicated(["month", "day", "carrier", "flight", "origin"]).any()


def test_outcomes(raw):
    """8,255 flights never left, 1,175 did not arrive as planned, 717 of them came later; 10,633 arrive past midnight."""
    left, arrived = raw["dep_time"].notna(), raw["arr_delay"].notna()
    assert (~left).sum() == 8_255
    assert (left & ~arrived).sum() == 1_175
    assert (left & ~arrived & raw["arr_time"].notna()).sum() == 717
    assert (raw["arr_time"] < raw["dep_time"]).sum() == 10_633


def test_tails(raw):
    """Only flights that never left lack a tail number; 721 of 4,043 are in no register: 15.6 % of all flights lack one."""
    assert raw["tailnum"].isna().sum() == 2_512
    assert raw.loc[raw["tailnum"].isna(), "dep_time"].isna().all()
    registered = {row[0] for row in records("planes")}
    known = set(raw["tailnum"].dropna())
    assert (len(known), len(known - registered)) == (4_043, 721)
    assert round((~raw["tailnum"].isin(registered)).mean(), 3) == 0.156


def test_missing_airports(raw):
    """Exactly four destinations are not in the table of airports; they keep Puerto Rico's time."""
    at = zones()
    assert set(raw["dest"]) - {row[0] for row in records("airports")} == NEVER_IN_AIRPORTS
    assert {str(zone_of(at, airport)) for airport in NEVER_IN_AIRPORTS} == {"America/Puerto_Rico"}
    assert set(raw["dest"]) - set(at) == NEVER_IN_AIRPORTS


def test_weather_gaps(raw):
    """Weather is unique by place and hour, and some hours of flights have none."""
    weather = oracle.read("weather")
    assert not weather.duplicated(["origin", "time_hour"]).any()
    joined = raw.merge(weather[["origin", "time_hour", "temp"]], how="left", on=["origin", "time_hour"], indicator=True)
    assert (joined["_merge"] == "left_only").sum() == 1_556


def test_rows_read_equal_raw(raw):
    """A day read row by row holds what pandas reads: every value, "NA" as None."""
    day = raw[(raw["month"] == FIRST_DAY.month) & (raw["day"] == FIRST_DAY.day)]
    [(when, read)] = flights(FIRST_DAY, FIRST_DAY)
    assert when == FIRST_DAY
    columns = ["carrier", "flight", "tailnum", "origin", "dest", "dep_delay", "arr_delay", "air_time", "distance"]
    plain = day[columns].astype(object).where(day[columns].notna(), None)
    assert [tuple(row) for row in plain.itertuples(index=False)] == [
        (
            *(flight.carrier, flight.number, flight.tail, flight.origin, flight.dest),
            *(flight.departure_delay, flight.arrival_delay, flight.air_minutes, flight.miles),
        )
        for flight in read
    ]
