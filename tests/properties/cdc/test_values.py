"""Values go through Debezium's encodings and back without loss."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cdc import Infinity, Interval, Range
from cdc.change import Beyond, Decoder, moment, number
from cdc.change.envelope import Splitter
from cdc.change.interval import read_interval
from cdc.change.range import multirange_reader, range_reader
from eventstore.errors import UndecodableRecord

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False).filter(lambda value: -60 <= value.as_tuple().exponent <= 0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dates())
def test_dates(day):
    """Every date that Python knows survives as days and as ISO text with its odd Z."""
    assert moment.read_days((day - date(1970, 1, 1)).days) == day
    assert moment.read_date(f"{day.isoformat()}Z") == day


@given(st.datetimes())
def test_timestamps(at):
    """Every timestamp survives as microseconds, nanoseconds and text, to the microsecond."""
    micros = (at - EPOCH) // timedelta(microseconds=1)
    assert moment.read_micros(micros) == at
    assert moment.read_naive(f"{at.isoformat()}Z") == at
    assert moment.read_zoned(f"{at.isoformat()}Z") == at.replace(tzinfo=UTC)
    if abs(micros) < 2**63 // 1000:
        assert moment.read_nanos(micros * 1000) == at


@given(st.integers(-(2**31), 2**31 - 1))
def test_any_day_number(days):
    """No day number stops a reader: it is a date, infinity, or text beyond Python's dates."""
    assert isinstance(moment.read_days(days), (date, Infinity, Beyond))


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_microsecond_number(micros):
    """No number of microseconds stops a reader."""
    assert isinstance(moment.read_micros(micros), (datetime, Infinity, Beyond))


@given(st.times())
def test_times(clock):
    """Every time of day survives as microseconds and as text."""
    micros = timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)
    assert moment.read_time(micros // timedelta(microseconds=1)) == clock
    assert moment.read_clock(f"{clock.isoformat()}Z") == clock


@given(DECIMALS)
def test_precise_decimals(value):
    """A decimal of any length survives the two's complement encoding, digits and scale."""
    sign, digits, exponent = value.as_tuple()
    unscaled = int("".join(map(str, digits))) * (-1 if sign else 1)
    raw = base64.b64encode(unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)).decode()
    for read in (number.scale_decimal(-exponent)(raw), number.read_variable({"scale": -exponent, "value": raw})):
        assert str(read) == str(Decimal(f"{unscaled}E{exponent}"))


@given(st.text("01", min_size=1, max_size=200))
def test_bits(text):
    """A bit string of known length survives, leading zeros too."""
    raw = base64.b64encode(int(text, 2).to_bytes((len(text) + 7) // 8, "little")).decode()
    assert number.size_bits(len(text))(raw) == text


@given(st.integers(-(2**31), 2**31), st.integers(-(10**6), 10**6), st.integers(-(2**55), 2**55))
def test_intervals(months, days, micros):
    """An interval's three parts survive their ISO text."""
    interval = Interval(months, days, micros)
    assert read_interval(str(interval)) == interval


@given(st.none() | st.datetimes(), st.none() | st.datetimes(), st.sampled_from(["[)", "[]", "(]", "()"]))
def test_ranges(lower, upper, bounds):
    """A range survives its text form, alone and in a multirange."""
    written = Range(lower, upper, bounds)
    assert range_reader(moment.read_naive)(str(written)) == written
    assert multirange_reader(moment.read_naive)(f"{{{written},{written}}}") == [written, written]


@given(st.lists(JSON, max_size=4), st.lists(JSON, max_size=4))
def test_split_is_parse(schemas, payloads):
    """Splitting gives exactly what parsing the whole document gives, in any succession of schemas."""
    splitter = Splitter(lambda schema: schema)
    for schema in schemas:
        for payload in payloads:
            document = {"schema": {"is": schema}, "payload": payload}
            assert splitter.split(json.dumps(document, separators=(",", ":")).encode()) == ({"is": schema}, payload)


@given(st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_refused(value):
    """Whatever is no change is refused with UndecodableRecord, never with another error."""
    for decoder in (Decoder(), Decoder(columns={"id": "int"})):
        try:
            decoder.decode(value, value)
        except UndecodableRecord:
            continue
        raise AssertionError(value)
