"""What is told of captured rows: the changes that a connector would make of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, TypedDict

import pytest

from cdc import UNCHANGED, CapturedTable, Change
from cdc.change.place import find_place
from cdc.testing import CapturedRows, RowDeed
from eventstore.errors import UsageError
from eventstore.source import Deed

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Seat(TypedDict):
    """A row as `cdc types` writes it."""

    row: Annotated[int, "integer"]
    place: Annotated[str, "text"]
    guest: Annotated[str | None, "text"]


SEATS = CapturedRows(CapturedTable("hall", "public.seat", full=True, row=Seat), key=["row", "place"])
PLAIN = CapturedRows(CapturedTable("hall", "public.seat"), key=["row", "place"])


def happen(*deeds: RowDeed) -> list[Change]:
    """Let *deeds* happen, a second apart."""
    kept: dict[str, object] = {}
    told = [each.happen(kept, number, AT + timedelta(seconds=number)) for number, each in enumerate(deeds, start=1)]
    return [each.message.body for found in told for each in found]


def test_changes() -> None:
    """Each deed is the change that Debezium makes of it: operation, key, the row before and after, time."""
    made = happen(
        SEATS.insert(row=1, place="a", guest=None),
        SEATS.update(row=1, place="a", guest="ada"),
        SEATS.update(row=1, place="a", guest=UNCHANGED),
        SEATS.delete(row=1, place="a"),
        SEATS.truncate(),
    )
    full = {"row": 1, "place": "a", "guest": "ada"}
    assert [(each.op, each.key, each.before, each.after) for each in made] == [
        ("c", (1, "a"), None, {**full, "guest": None}),
        ("u", (1, "a"), {**full, "guest": None}, full),
        ("u", (1, "a"), full, {**full, "guest": UNCHANGED}),
        ("d", (1, "a"), full, None),
        ("t", (), None, None),
    ]
    assert [each.source.committed_at for each in made] == [AT + timedelta(seconds=each) for each in range(1, 6)]
    assert isinstance(SEATS.truncate(), Deed)
    assert {each.before for each in happen(PLAIN.insert(row=1, place="a"), PLAIN.delete(row=1, place="a"))} == {None}


def test_places() -> None:
    """They stand in the order of a connector, whose log begins anew with a snapshot of the whole table."""
    rows = [{"row": 1, "place": "a", "guest": None}, {"row": 1, "place": "b", "guest": None}]
    told = happen(SEATS.insert(row=1, place="c", guest=None), SEATS.snapshot(*rows), SEATS.delete(row=1, place="b"))
    places = [find_place(each) for each in told]
    assert [each.act for each in places] == ["appear", "read", "read", "vanish"]
    assert [each.order for each in places] == sorted(each.order for each in places)
    assert [each.snapshot is None for each in places] == [True, False, False, True]
    assert [each.ends for each in places] == [False, False, True, False]
    assert [each.after for each in happen(SEATS.insert(**rows[0]), SEATS.snapshot())][-1] == rows[0]


@pytest.mark.parametrize(
    ("tell", "why"),
    [
        (lambda: SEATS.update(place="a"), "a row is named by its key, and row is not given"),
        (lambda: SEATS.insert(row=1, place="a", gest="ada"), "gest is no column of Seat"),
        (lambda: happen(PLAIN.update(row=1, place="a")), r"seat.update\(row=1, place='a'\) can't happen: there is no row under"),
        (lambda: happen(*[PLAIN.insert(row=1, place="a")] * 2), r"there is a row under \(1, 'a'\) then"),
    ],
)
def test_refuses(tell: object, why: str) -> None:
    """What could not happen is refused, with the row and the reason."""
    with pytest.raises(UsageError, match=why):
        tell()  # type: ignore[operator]
