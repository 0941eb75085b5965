"""Declared aggregates: what is accepted, what is refused by name, and what a row becomes."""

import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from eventstore.errors import UsageError
from eventstore.event import event
from projections import Count, Day, Distinct, First, Hour, Last, Max, Min, Month, Projection, Sum
from projections.declaration.grouping import Field
from projections.declaration.sketch import FEW, add_hash, add_hashes, estimate, hash_value, merge
from projections.release.fingerprint import fingerprint

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@event("unit-sold")
class UnitSold:
    shop: str
    cents: int
    weight: float
    at: datetime
    price: Decimal | None = None
    parts: list[str] | None = None


@event("unit-returned")
class UnitReturned:
    shop: str
    cents: float


def declare(**aggregates):
    return Projection("units").aggregate(UnitSold, by="shop", name="units", **aggregates)


def test_row():
    """The row has the key's columns, then those of each aggregate, with what they are before any event."""
    table = declare(sold=Count(), cents=Sum("cents"), dearest=Max("price"), last=Last("at"), prices=Distinct("price"))
    assert table.columns == ("shop", "sold", "cents", "dearest", "last", "last_position", "prices", "prices_sketch")
    assert table.row("berlin") == table.row("berlin", 0, 0, None, None, None, 0, b"")


@pytest.mark.parametrize(
    ("by", "columns", "key"),
    [
        ("shop", ("shop",), "berlin"),
        (["shop", Day("at")], ("shop", "at_day"), ("berlin", AT.date())),
        ({"m": Month("at"), "h": Hour("at")}, ("m", "h"), (AT.date().replace(day=1), AT.replace(minute=0, second=0))),
        (Field("cents"), ("cents",), 7),
    ],
)
def test_keys(by, columns, key):
    """A key is made of fields and expressions, under the names that are given or their own."""
    table = Projection("units").aggregate(UnitSold, by=by, name="units", sold=Count())
    assert table.key == columns
    assert table.grouping.make_key()(UnitSold("berlin", 7, 1.5, AT)) == key


@pytest.mark.parametrize(
    ("by", "aggregates", "words"),
    [
        ("shop", {"total": Sum("weight")}, "depends on their order"),
        ("shop", {"total": Sum("shop")}, "takes int, Decimal"),
        ("shop", {"parts": Distinct("parts")}, "takes int, float"),
        ("shop", {"total": Sum("absent")}, "has no field 'absent'"),
        ("weight", {"sold": Count()}, "can't be a key"),
        (Day("shop"), {"sold": Count()}, "can't be a key"),
        ("shop", {}, "at least one aggregate"),
        ("shop", {"shop": Count()}, "same name"),
        ("shop", {"a": First("at"), "a_position": Count()}, "same name"),
    ],
)
def test_refused(by, aggregates, words):
    """What can't be aggregated is refused when it is declared, with the reason."""
    with pytest.raises(UsageError, match=words):
        Projection("units").aggregate(UnitSold, by=by, name="units", **aggregates)


def test_types_agree():
    """Types that share a table must agree on the fields that it uses."""
    with pytest.raises(UsageError, match="several types"):
        Projection("units").aggregate(UnitSold, UnitReturned, by="shop", name="units", least=Min("cents"))


def test_fingerprint():
    """Equal declarations have equal fingerprints; another field, aggregate or key has another."""

    def of(by="shop", **aggregates):
        projection = Projection("units")
        projection.aggregate(UnitSold, by=by, name="units", **aggregates)
        return fingerprint(projection)

    assert of(total=Sum("cents")) == of(total=Sum("cents"))
    others = [of(total=Sum("price")), of(total=Min("cents")), of(by=Day("at"), total=Sum("cents")), of(total=Max("cents"))]
    others += [of(total=First("cents")), of(total=Last("cents")), of(total=Count("cents")), of(total=Count())]
    assert len({of(total=Sum("cents")), *others}) == 9


def test_naive_day():
    """The day of a time without a zone is nobody's guess."""
    with pytest.raises(ValueError, match="no time zone"):
        Day("at").read(UnitSold("berlin", 1, 1.0, AT.replace(tzinfo=None)))


@pytest.mark.parametrize("count", [0, 1, FEW, FEW + 1, 1_000, 20_000, 100_000])
def test_sketch_close(count):
    """A count of different values is exact while they are few, and less than 5 % off with many."""
    found = estimate(add_hashes(b"", (hash_value(str(each)) for each in range(count))))
    assert found == count if count <= FEW else abs(found - count) < 0.05 * count


@pytest.mark.parametrize("count", [5, FEW, FEW + 1, 3_000])
def test_sketch_same(count):
    """Order, repetition and how the values are split into parts change no byte of a sketch."""
    hashes = [hash_value(str(each)) for each in range(count)]
    whole = add_hashes(b"", hashes)
    shuffled = random.Random(count).sample(hashes * 2, 2 * count)
    single = b""
    for each in shuffled:
        single = add_hash(single, each)
    assert single == whole
    middle = count // 3
    parts = add_hashes(b"", hashes[: middle + 1]), add_hashes(b"", hashes[middle:])
    assert merge(*parts) == merge(*reversed(parts)) == whole
    assert add_hash(whole, hashes[0]) is whole
