"""What the codec writes, its readers read."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from eventstore.codec import decode, encode

offsets = st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.none() | st.just(UTC) | offsets | st.timezones())  # noqa: DTZ001 - hypothesis wants naive bounds


@dataclass
class Seen:
    """What is read back."""

    at: datetime
    on: date
    by: time


read = TypeAdapter(Seen).validate_python


@given(at=moments, on=st.dates(), by=st.times())
@example(at=datetime(1890, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam")), on=date.min, by=time.max)
def test_times_come_back(at: datetime, on: date, by: time) -> None:
    """Every date and time is read back as the same moment, whatever its zone and year."""
    back = read(decode(encode(Seen(at, on, by))))
    assert (back.at, back.on, back.by) == (at.astimezone(UTC) if at.tzinfo else at, on, by)
    assert (back.at.tzinfo is None) == (at.tzinfo is None)


@given(at=moments.filter(lambda at: at.tzinfo is None or not (at.utcoffset() or timedelta(0)) % timedelta(minutes=1)))
def test_form_of_times(at: datetime) -> None:
    """Where the offset has no seconds the text is the usual one: ISO 8601, and Z for an offset of zero."""
    assert encode(at) == orjson.dumps(at, option=orjson.OPT_UTC_Z)


def test_no_form() -> None:
    """A time of day with a zone is refused, since it says no moment."""
    with pytest.raises(TypeError, match="time has no JSON form"):
        encode({"at": time(12, tzinfo=UTC)})
