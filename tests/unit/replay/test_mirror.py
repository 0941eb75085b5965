"""Which tables of read models the source alone accounts for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest

from cdc import CapturedTable, Change
from cdc.change.change import Origin
from eventstore.settings import KafkaSettings
from projections import Projection
from replay.verification.mirror import Maker, Mirror, find_mirrors

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


@dataclass(slots=True)
class Dated:
    id: int
    text: str
    at: datetime
    word: str | None = None


@dataclass(slots=True)
class Word:
    text: str
    since: datetime
    word: str | None


def keep(change: Change, row: Dated | None) -> Dated | None:
    return None if change.after is None else Dated(change.key[0], change.after["text"], change.source.committed_at)


def test_joined() -> None:
    """A joined table is compared without what versions and times tell; the versions, and rows kept under such a time, are left out."""
    projection = Projection("things")
    words = projection.table(Word, key=["text", "since"])
    table = projection.table(Dated, key="id")
    words.on_change(OTHERS, key=lambda change: ("a", change.source.committed_at))(lambda change, row: None)
    table.on_change(THINGS)(keep)
    table.join(words, on="text", at="at", sets="word")(lambda row, word: word and word.word)
    [found], reasons = find_mirrors([projection], "shop.operations", ["public.thing", "public.other"], KAFKA)
    assert (found.table, found.joined) == (table, {"word": "word"})
    assert reasons == ["things.word holds what rows were at times past"]
    maker = Maker(found)
    assert not maker.is_dated(read(1, "a"))
    assert (maker.dated, maker.failed) == ({"at"}, 0)


def test_dated() -> None:
    """Rows under the time of a change are told apart from those that only hold one, or none."""
    projection = Projection("trail")
    table = projection.table(Word, key=["text", "since"])
    table.on_change(THINGS, key=lambda change: (change.after["text"], change.source.committed_at))(
        lambda change, row: Word(change.after["text"], change.source.committed_at, None)
    )
    [found], _ = find_mirrors([projection], "shop.operations", ["public.thing"], KAFKA)
    assert Maker(found).is_dated(read(1, "a"))
    plain = Maker(mirror(copy))
    assert (plain.is_dated(read(1, "a")), plain.dated) == (False, set())


def test_refused_rows() -> None:
    """A row that a handler refuses, or that PostgreSQL would, is counted and not made."""
    maker, rows = Maker(mirror(copy)), {}
    maker.apply(read(1, "a\x00b"), rows)
    maker.apply(Change("r", "public.thing", (2,), None, {"id": 2}, Origin({}), (0, 0), ("id",)), rows)
    assert (rows, maker.failed) == ({}, 2)
