"""Which tables of read models the source alone accounts for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cdc import CapturedTable, Change
from cdc.change.change import Origin
from eventstore.settings import KafkaSettings
from projections import Projection
from replay.mirror import Maker, Mirror, find_mirrors

KAFKA = KafkaSettings(topic_prefix="shop")
THINGS = CapturedTable("operations", "public.thing")
OTHERS = CapturedTable("operations", "public.other")


@dataclass(slots=True)
class Thing:
    id: int
    text: str
    seen: int = 0


def copy(change: Change, row: Thing | None) -> Thing | None:
    return None if change.after is None else Thing(change.key[0], change.after["text"])


def count(change: Change, row: Thing | None) -> Thing | None:
    row = row or Thing(change.key[0], "")
    row.seen += 1
    return row


def newest(change: Change, row: Thing | None) -> Thing | None:
    assert change.after is not None
    return row if row and row.text > change.after["text"] else Thing(change.key[0], change.after["text"])


def read(number: int, text: str) -> Change:
    after = {"id": number, "text": text}
    return Change("r", "public.thing", (number,), None, after, Origin({"ts_ms": 0, "db": "x"}), (0, 0), ("id",))


def mirror(handler, key=None) -> Mirror:
    projection = Projection("things")
    table = projection.table(Thing, key="id")
    table.on_change(THINGS, key=key)(handler)
    [found], _ = find_mirrors([projection], "shop.operations", ["public.thing"], KAFKA)
    return found


@pytest.mark.parametrize(("handler", "remembers"), [(copy, False), (count, True), (newest, False)])
def test_remembers(handler, remembers: bool) -> None:
    """A count depends on more than the newest change; a copy, and the newer of two, do not."""
    rows = [read(1, "a"), read(2, "b"), read(3, "a")]
    assert Maker(mirror(handler)).remembers(rows) is remembers


def test_left_out() -> None:
    """A table that is made from two sources is left out and named, and tables of other connectors are not spoken of."""
    projection = Projection("things")
    table = projection.table(Thing, key="id")
    table.on_change(THINGS)(copy)
    table.on_change(OTHERS)(copy)
    found, reasons = find_mirrors([projection], "shop.operations", ["public.thing"], KAFKA)
    assert found == []
    assert "public.other" in reasons[0]
    assert find_mirrors([projection], "shop.elsewhere", ["public.thing"], KAFKA) == ([], [])


def test_refused_rows() -> None:
    """A row that a handler refuses, or that PostgreSQL would, is counted and not made."""
    maker, rows = Maker(mirror(copy)), {}
    maker.apply(read(1, "a\x00b"), rows)
    maker.apply(Change("r", "public.thing", (2,), None, {"id": 2}, Origin({}), (0, 0), ("id",)), rows)
    assert (rows, maker.failed) == ({}, 2)
