"""Rows as texts: whatever a row holds comes back, and equal rows have equal texts however they were written."""

from dataclasses import replace
from datetime import UTC, timedelta, timezone
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from projections.copies.form import Form, Sum
from tests.contracts.copies import Thing, thing

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
JSON = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS, lambda inner: st.lists(inner, max_size=3))
ROWS = st.builds(
    Thing,
    WORDS,
    st.integers(-(2**63), 2**63 - 1),
    WORDS,
    st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    st.none() | st.floats(allow_nan=False),
    st.booleans(),
    st.none() | st.dates(),
    st.none() | st.times(),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.none() | st.timedeltas(),
    st.none() | st.uuids(),
    st.none() | st.binary(max_size=20),
    st.none() | st.lists(WORDS, max_size=3),
    st.none() | st.dictionaries(WORDS, JSON, max_size=3),
)
FORM = Form(thing)


@given(ROWS)
def test_comes_back(row):
    """A row made of its texts is the row."""
    assert FORM.row(FORM.texts(row)) == row


@given(ROWS, st.integers(0, 6), st.integers(-14, 14))
def test_same_values_same_texts(row, zeros, hours):
    """Trailing zeros, time zones and the order of JSON keys are no difference."""
    price = row.price and _pad(row.price, zeros)
    other = replace(
        row,
        price=price,
        since=row.since and _shift(row.since, hours),
        more=row.more and dict(reversed(row.more.items())),
    )
    assert FORM.texts(other) == FORM.texts(row)


@given(st.lists(ROWS, max_size=5), st.randoms())
def test_sum_has_no_order(rows, random):
    """The sum of rows does not depend on their order, and tells one row from two equal ones."""
    shuffled = random.sample(rows, len(rows))
    sums = [Sum(), Sum()]
    for left, right in zip(rows, shuffled, strict=True):
        sums = [sums[0].add(FORM.texts(left)), sums[1].add(FORM.texts(right))]
    assert sums[0] == sums[1]
    assert sums[0].rows == len(rows)


def _pad(price, zeros):
    text = f"{price:f}"
    return Decimal(text + ("" if "." in text else ".") + "0" * zeros)


def _shift(moment, hours):
    try:
        return moment.astimezone(timezone(timedelta(hours=hours)))
    except OverflowError:
        return moment
