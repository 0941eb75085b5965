"""Declared aggregates give the same rows by columns and event by event, whatever the events hold and in whatever order they come."""

import json
import tempfile
from dataclasses import astuple
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eventstore.archive.archiver import render
from eventstore.archive.piece import Piece
from eventstore.archive.place import Place
from eventstore.event import event, upcast
from eventstore.log.fetch import LogRecord
from eventstore.log.wire import HEADERS, compose
from projections import Projection
from projections.declaration.aggregate import Count, Distinct, First, Last, Max, Min, Sum
from projections.declaration.grouping import Day, Hour, Month
from projections.fold.fold import Folder
from projections.vectors.engine import Irregular, Vectors, doubt_projection

TOPIC = "t"
PARTITIONS = 2


@event("sale-made", version=2)
class SaleMade:
    """An event with every kind of field."""

    customer: str | None
    cents: int
    at: datetime
    price: Decimal | None = None
    weight: float | None = None
    shop: int = 7
    due: date | None = None
    tags: dict[str, Any] | None = None


@upcast("sale-made", version=1)
def _lift(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "customer": data.get("buyer")}


@event("sale-voided", version=1)
class SaleVoided:
    """An event that shares some of the fields."""

    customer: str
    cents: int


sales = Projection("sales")
by_customer = sales.aggregate(
    SaleMade,
    by="customer",
    name="by_customer",
    sales=Count(),
    priced=Count("price"),
    cents=Sum("cents"),
    turnover=Sum("price"),
    least=Min("cents"),
    cheapest=Min("price"),
    dearest=Max("price"),
    heaviest=Max("weight"),
    lightest=Min("weight"),
    earliest=Min("at"),
    first_price=First("price"),
    last_at=Last("at"),
    last_due=Last("due"),
    shops=Distinct("shop"),
    prices=Distinct("price"),
)
both = sales.aggregate(SaleMade, SaleVoided, by="customer", name="both", cents=Sum("cents"), latest=Last("cents"))
by_time = sales.aggregate(
    SaleMade, by={"day": Day("at"), "month": Month("at"), "hour": Hour("at"), "shop": "shop"}, name="by_time", sales=Count()
)
by_stream = sales.aggregate(SaleMade, name="by_stream", sales=Count(), first=First("cents"), buyers=Distinct("customer"))

TIMES = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z", "2026-01-31T23:59:59.999999Z", "2026-02-01T00:00:00+00:00"]
ODD_TIMES = ["2026-01-01T01:30:00+02:00", "2026-01-01T00:00:00.0000001Z"]
PRICES = ["0", "0.00", "1.5", "1.50", "-1.50", "-1.5", "12345678901234567890.12", "99.999", "2"]
ODD_PRICES = ["1E+3", "007.5", "-0", "+1", "0.0000000000000000000000000000000000001", 3, 2.5]
INTS = [0, 1, -1, 2**31, 2**62, 2**63 - 1, -(2**63)]
ODD_INTS = [2**63, 2**64 - 1, "12", 3.0, True]


def made(*, odd: bool) -> st.SearchStrategy[tuple[str, int, dict[str, Any]]]:
    """Events as their JSON; *odd* ones are read, but not as the plain values that a column has."""
    extra: Any = lambda values: st.sampled_from(values) if odd else st.nothing()  # noqa: E731 - one word a strategy
    fields = {
        "customer": st.sampled_from(["ann", "bob", "ann'", None, 'ä"b', "z" * 40]),
        "cents": st.sampled_from(INTS) | st.integers(-1000, 1000) | extra(ODD_INTS),
        "at": st.sampled_from(TIMES) | extra(ODD_TIMES),
    }
    optional = {
        "price": st.sampled_from([*PRICES, None]) | extra(ODD_PRICES),
        "weight": st.sampled_from([0.0, -0.0, 1.5, -2.25, 1e300, None]) | extra([3]),
        "due": st.sampled_from(["2026-01-01", "0001-01-01", "9999-12-31", None]),
        "tags": st.sampled_from([{}, {"a": [1, {"b": None}]}, None]),
        "more": st.sampled_from([1, "x", None]),
    }
    plain = st.fixed_dictionaries(fields, optional=optional | ({"shop": st.integers(0, 300)} if odd else {}))
    shop = st.fixed_dictionaries({"shop": st.integers(0, 300)})
    sale = plain if odd else st.builds(lambda data, more: data | more, plain, shop)
    void = st.fixed_dictionaries({"customer": st.sampled_from(["ann", "bob"]), "cents": st.sampled_from(INTS)})
    old = sale.map(lambda data: {"buyer": data["customer"], **{name: each for name, each in data.items() if name != "customer"}})
    kinds = [st.tuples(st.just("sale-made"), st.just(2), sale), st.tuples(st.just("sale-voided"), st.just(1), void)]
    kinds.append(st.tuples(st.just("unknown-thing"), st.just(1), st.just({"cents": "no"})))
    if odd:
        kinds.append(st.tuples(st.just("sale-made"), st.just(1), old))
    return st.one_of(kinds)


def records(events: list[tuple[str, int, dict[str, Any]]], seed: list[int]) -> list[list[LogRecord]]:
    """Put *events* into partitions, with positions that are not in the order of offsets over partitions."""
    found: list[list[LogRecord]] = [[] for _ in range(PARTITIONS)]
    for number, (name, version, data) in enumerate(events):
        stream = f"stream-{seed[number % len(seed)]}"
        partition = seed[number % len(seed)] % PARTITIONS
        ident = f"00000000-0000-0000-0000-{number:012}"
        at = '"2026-01-01T00:00:00Z"'
        position = (100 + number // 3, 1 + number)
        value = compose((stream, number + 1, *position, ident, name, version, json.dumps(data), "{}", at, at, None), "test")
        offset = 2 * len(found[partition]) + 1
        found[partition].append(LogRecord(TOPIC, partition, offset, 0, stream.encode(), value, HEADERS))
    return found


def by_events(parts: list[list[LogRecord]]) -> dict[str, Any]:
    """Fold event by event, partition after partition in either order, which must not matter."""
    folder = Folder(sales, {"events": TOPIC}, complete=True)
    for each in reversed(parts):
        if each:
            folder.run(each)
    return {name: rows_of(sheet.rows.values()) for name, sheet in folder.sheets.items()}


def by_columns(parts: list[list[LogRecord]], size: int) -> tuple[dict[str, Any], Any]:
    """Archive in files of *size* records, of odd ones where DuckDB can't read them itself, and fold by columns."""
    with tempfile.TemporaryDirectory(prefix="[a]" if size % 2 else "a") as folder:
        place = Place(folder)
        chains: dict[tuple[str, int], list[Piece]] = {}
        for number, part in enumerate(parts):
            for start in range(0, len(part), size):
                cut = part[start : start + size]
                piece = Piece(TOPIC, number, chains[TOPIC, number][-1].end if start else 0, cut[-1].offset)
                place.write(piece, render(cut, 3))
                chains.setdefault((TOPIC, number), []).append(piece)
        folded = Vectors(sales, place, chains, {each: chain[-1].end for each, chain in chains.items()}).fold(lambda _: None)
    return {name: rows_of(each) for name, each in folded.rows.items()}, folded


def rows_of(rows: Any) -> Any:
    """Give rows in an order of their own, with the digits of decimals and the sign of zeros showing."""
    return sorted(tuple(map(spell, astuple(row))) for row in rows if row is not None)


def spell(value: Any) -> str:
    return repr(value.astimezone(UTC)) if isinstance(value, datetime) else repr(value)


def same(events: Any, seed: list[int], size: int) -> Any:
    parts = records(events, seed)
    columns, folded = by_columns(parts, size)
    assert columns == by_events(parts)
    assert folded.moves == {
        (TOPIC, number): (part[-1].offset + 1, folded.moves[TOPIC, number][1]) for number, part in enumerate(parts) if part
    }
    return folded


NEW = {"customer": "ann", "cents": 1, "at": TIMES[0], "shop": 1}
OLD = {"buyer": "ann", "cents": 2, "at": TIMES[1], "shop": 2}
SEEDS = st.lists(st.integers(0, 5), min_size=1, max_size=12)
QUICK = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(st.lists(made(odd=False), max_size=40), SEEDS, st.integers(1, 15))
def test_plain_events(events: Any, seed: list[int], size: int) -> None:
    """Events of plain fields, whole or missing what may be missing, are folded by columns alone, with equal rows."""
    assert same(events, seed, size).single == 0


@QUICK
@given(st.lists(made(odd=True), max_size=40), SEEDS, st.integers(1, 15))
@example([("sale-made", 2, {"customer": "ann", "cents": 2**63 - 1, "at": TIMES[0]})] * 3, [0], 5)
@example([("sale-made", 2, NEW), ("sale-made", 1, OLD), ("sale-made", 2, NEW)], [0], 5)
def test_odd_events(events: Any, seed: list[int], size: int) -> None:
    """Older versions, defaults, conversions, numbers that no column holds: equal rows, by reading those events one by one."""
    try:
        same(events, seed, size)
    except Irregular:
        parts = records(events, seed)
        prices = [json.loads(each.value)["data"].get("price") for part in parts for each in part]
        assert any("0000000" in str(each) or "12345678901234567890" in str(each) for each in prices)


@pytest.mark.parametrize("broken", [b"no json", b'{"type":"sale-made"}', json.dumps({"type": "sale-made", "data": {}}).encode()])
def test_unreadable(broken: bytes) -> None:
    """Where a record can't be read nothing is folded by columns, so that it is parked as ever."""
    parts = records([("sale-made", 2, {"customer": "ann", "cents": 1, "at": TIMES[0]})] * 3, [0])
    parts[0][1] = parts[0][1]._replace(value=broken)
    with pytest.raises(Irregular):
        by_columns(parts, 10)


@pytest.mark.parametrize(
    "data", [{"customer": "ann"}, {"customer": "ann", "cents": 1, "at": "soon"}, {"customer": 1, "cents": 1, "at": TIMES[0]}]
)
def test_unfit(data: dict[str, Any]) -> None:
    """Where an event does not fit its class nothing is folded by columns."""
    plain = ("sale-made", 2, {"customer": "ann", "cents": 1, "at": TIMES[0]})
    with pytest.raises(Irregular):
        by_columns(records([plain, ("sale-made", 2, data), plain], [0]), 10)


def test_tombstones() -> None:
    """A record without a value is nobody's event either way."""
    parts = records([("sale-made", 2, {"customer": "ann", "cents": 1, "at": TIMES[0]})] * 3, [0])
    parts[0][1] = parts[0][1]._replace(value=None)
    assert by_columns(parts, 10)[0] == by_events(parts)


def test_limit() -> None:
    """Nothing at or past the offset to stop at is folded, and the last position is that of the last event below."""
    parts = records([("sale-made", 2, {"customer": "ann", "cents": n, "at": TIMES[0]}) for n in range(20)], [0])
    with tempfile.TemporaryDirectory() as folder:
        place, piece = Place(folder), Piece(TOPIC, 0, 0, parts[0][-1].offset)
        place.write(piece, render(parts[0], 4))
        limit = parts[0][7].offset
        folded = Vectors(sales, place, {(TOPIC, 0): [piece]}, {(TOPIC, 0): limit}).fold(lambda _: None)
    assert {name: rows_of(each) for name, each in folded.rows.items()} == by_events([parts[0][:7]])
    assert folded.moves[TOPIC, 0] == (parts[0][6].offset + 1, (102, 7))


def test_doubts() -> None:
    """A projection with a handler of its own is never folded by columns."""
    mixed = Projection("mixed")
    table = mixed.aggregate(SaleVoided, by="customer", name="totals", cents=Sum("cents"))
    assert doubt_projection(mixed) is None
    rows = mixed.table(table.row, key="customer", name="own")
    rows.on(SaleVoided, key=lambda voided: voided.customer)(lambda voided, row: row)
    assert "own" in str(doubt_projection(mixed))
