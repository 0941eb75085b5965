"""What a feed shows of a change, and where a client stands."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc import UNCHANGED, CapturedTable, Change, Interval, Range
from cdc.change import Origin, Point
from cdc.feed import ChangeFeed, Offer
from cdc.feed.offer import simplify
from cdc.feed.vector import read_vector, write_vector
from eventstore.errors import UsageError
from eventstore.settings import KafkaSettings

TABLE = CapturedTable("crm", "public.customer")
SOURCE = Origin({"lsn": 20, "txId": 7, "ts_us": 0, "snapshot": None, "db": "crm"})
NAMES = {"t.crm.a": "public.a", "t.crm.b": "odd, näme=/"}
VECTORS = st.dictionaries(st.tuples(st.sampled_from(sorted(NAMES)), st.integers(0, 10**6)), st.integers(0, 2**53), min_size=1)


def change(op="u", before=None, **row):
    """Make a change of the row 1."""
    after = None if op in "dt" else {"id": 1, **row}
    return Change(op, "public.customer", () if op == "t" else (1,), before, after, SOURCE, (1, 2), () if op == "t" else ("id",))


def said(offer, given_change):
    """Give what is said to whom."""
    return [(whose, json.loads(document)) for whose, document in offer.show(given_change)]


@given(VECTORS)
def test_vector(vector):
    """A place survives its text, which has nothing that an event's id or a header can't hold."""
    text = write_vector(vector, NAMES)
    assert text.isascii()
    assert text.isprintable()
    assert read_vector(text, {table: topic for topic, table in NAMES.items()}) == vector


@given(st.text(max_size=60))
def test_vector_from_outside(text):
    """Whatever a client sends instead is a place of this feed or refused."""
    try:
        found = read_vector(text, {"public.a": "t.crm.a"})
    except UsageError:
        return
    assert all(topic == "t.crm.a" for topic, _ in found)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals() | st.binary() | st.dates(), st.lists
    )
)
def test_json(value):
    """Any value becomes JSON that a browser reads without loss."""
    written = simplify({"value": value})
    assert json.loads(json.dumps(written, allow_nan=False)) == written


def test_values():
    """Numbers that a browser would round, and values that JSON does not have, are text."""
    assert simplify([2**53 + 1, Decimal("1.10"), date(2024, 2, 29), b"\0", float("nan"), Interval(1, 2, 3), Range(1, 2), Point(1, 2)]) == [
        "9007199254740993", "1.10", "2024-02-29", "AA==", "nan", "P1M2DT0.000003S", "[1,2)", "(1,2)",
    ]  # fmt: skip
    assert simplify(datetime(2024, 1, 1, tzinfo=UTC)) == "2024-01-01T00:00:00+00:00"


def test_masks():
    """Hidden columns are nowhere, not in the key either; large values that did not change are named and not shown."""
    offer = Offer(TABLE, hidden=("id", "email"))
    [(whose, document)] = said(offer, change(email="a@b", name="Ada", photo=UNCHANGED))
    assert (whose, document["key"], document["row"], document["unchanged"]) == (None, {}, {"name": "Ada"}, ["photo"])
    assert said(Offer(TABLE, columns=("name",)), change(email="a@b", name="Ada"))[0][1]["row"] == {"name": "Ada"}
    with pytest.raises(UsageError, match="both shown and hidden"):
        Offer(TABLE, columns=("name",), hidden=("name",))


def test_tenants():
    """A change is for its tenant; one that moves a row is a delete for one and an insert for the other; one of no tenant is for nobody."""
    offer = Offer(TABLE, tenant="firm")
    assert [whose for whose, _ in said(offer, change(firm="a"))] == ["a"]
    moved = said(offer, change(before={"id": 1, "firm": "a"}, firm="b"))
    assert [(whose, document["op"]) for whose, document in moved] == [("a", "deleted"), ("b", "inserted")]
    assert said(offer, change(firm=None)) == said(offer, change("d")) == []
    assert [whose for whose, _ in said(offer, change("d", before={"id": 1, "firm": "a"}))] == ["a"]
    assert said(offer, change("t"))[0][0] is None


def test_offers():
    """A feed needs tables, each once."""
    for offers in ((), (Offer(TABLE), Offer(TABLE)), (Offer(TABLE), Offer(CapturedTable("other", "public.customer")))):
        with pytest.raises(UsageError):
            ChangeFeed(*offers, kafka=KafkaSettings())
