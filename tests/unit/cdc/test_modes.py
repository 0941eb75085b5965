"""What single modes of the connector write, and what is in the corners of them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest

from cdc import Infinity, Interval, Modes, Range
from cdc.change import Beyond, Decoder, component, moment
from cdc.change.column import SOURCE_TYPE, find_step


def parts(**given):
    """Give the components of a moment, those that are not given being empty."""
    return {"specialValue": None, **given}


def test_structured():
    """Components become dates, times and intervals, with their offset, and text where Python ends."""
    day = {"year": 2024, "month": 2, "day": 29}
    clock = {"hour": 13, "minute": 14, "second": 15, "nanos": 123456000}
    assert component.read_date_parts(parts(**day)) == date(2024, 2, 29)
    assert component.read_time_parts(clock) == time(13, 14, 15, 123456)
    assert component.read_timestamp_parts(parts(**day, **clock)) == datetime(2024, 2, 29, 13, 14, 15, 123456)  # noqa: DTZ001
    zoned = component.read_timestamp_parts(parts(**day, **clock, offsetSeconds=7200))
    assert (zoned, zoned.tzinfo) == (datetime(2024, 2, 29, 11, 14, 15, 123456, tzinfo=UTC), UTC)
    assert component.read_time_parts({**clock, "offsetSeconds": -19800}).tzinfo == timezone(-timedelta(hours=5, minutes=30))
    span = {"years": 1, "months": 2, "days": -3, "hours": 4, "minutes": 5, "seconds": 6, "nanos": -1000}
    assert component.read_interval_parts(span) == Interval(14, -3, 14_705_999_999)


def test_structured_beyond():
    """Infinity and years outside of Python's are what PostgreSQL writes."""
    assert component.read_date_parts(parts(specialValue="NEGATIVE_INFINITY")) is Infinity.NEGATIVE
    assert component.read_timestamp_parts(parts(specialValue="POSITIVE_INFINITY")) is Infinity.POSITIVE
    assert component.read_date_parts(parts(year=-43, month=3, day=15)) == Beyond("0044-03-15 BC")
    late = parts(year=12024, month=1, day=1, hour=12, minute=0, second=0, nanos=500_000_000)
    assert component.read_timestamp_parts(late) == Beyond("12024-01-01 12:00:00.5")
    assert component.read_timestamp_parts({**late, "offsetSeconds": 0}) == Beyond("12024-01-01 12:00:00.5+00")
    assert component.read_time_parts({"hour": 24}) == Beyond("24:00:00")


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("+5877611-06-21Z", "infinity"),
        ("-5877611-06-22Z", "-infinity"),
        ("+292278994-08-16Z", "infinity"),
        ("+292269055-12-02Z", "-infinity"),
    ],
)
def test_iso_infinities(text, sign):
    """The years that Debezium writes for infinite dates in ISO mode, streamed and from a snapshot, are infinity."""
    assert moment.read_date(text) == Infinity(sign)


@pytest.mark.parametrize("written", ["{[1,3)}", base64.b64encode(b"{[1,3)}").decode(), b"{[1,3)}".hex()])
def test_packed_multirange(written):
    """A multirange is read whatever text the mode for bytes made of it."""
    step = find_step({"type": "string", "parameters": {SOURCE_TYPE: "INT4MULTIRANGE"}})
    assert step(written) == [Range(1, 3)]


@pytest.mark.parametrize(("mode", "text"), [("hex", "00ff"), ("base64", "AP8="), ("base64-url-safe", "AP8")])
def test_packed_by_schema(mode, text):
    """With the mode told, a schema's strings that hold bytes are bytes, and types unknown to Debezium are their text."""
    fields = [
        {"field": "raw", "type": "string", "optional": True, "parameters": {SOURCE_TYPE: "BYTEA"}},
        {"field": "place", "type": "string", "optional": True, "parameters": {SOURCE_TYPE: "PG_LSN"}},
    ]
    schema = {"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": fields}]}
    place = {"hex": b"16/B3".hex(), "base64": "MTYvQjM=", "base64-url-safe": "MTYvQjM"}[mode]
    source = {"sequence": '["1","2"]', "schema": "public", "table": "t", "ts_us": 0}
    payload = {"op": "c", "before": None, "after": {"raw": text, "place": place}, "source": source}
    change = Decoder(modes=Modes(binary=mode)).decode(None, json.dumps({"schema": schema, "payload": payload}).encode())
    assert change.after == {"raw": b"\x00\xff", "place": "16/B3"}


def test_message_in_mode():
    """A message's content is read as the mode for bytes wrote it."""
    payload = {"op": "m", "source": {"sequence": '[null,"2"]', "ts_us": 0}, "message": {"prefix": "p", "content": "00ff"}}
    document = json.dumps({"schema": {"type": "struct", "fields": []}, "payload": payload}).encode()
    assert Decoder(modes=Modes(binary="hex")).decode(None, document).after == {"prefix": "p", "content": b"\x00\xff"}


def test_declared_unknown_types():
    """Types that Debezium does not know are declared by name, or as other."""
    declared = {"id": "int", "a": "pg_lsn", "b": "composite", "c": "other[]"}
    text = base64.b64encode(b"x").decode()
    after = {"id": 1, "a": text, "b": text, "c": [text, None]}
    source = {"sequence": '["1","2"]', "schema": "public", "table": "t", "ts_us": 0}
    value = json.dumps({"op": "c", "before": None, "after": after, "source": source}).encode()
    assert Decoder(columns=declared).decode(b'{"id": 1}', value).after == {"id": 1, "a": "x", "b": "x", "c": ["x", None]}
