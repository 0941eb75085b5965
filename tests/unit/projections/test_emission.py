"""What may emit, what feeds what, and what follows from a record: without servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import decode
from eventstore.errors import UsageError
from eventstore.event import event
from eventstore.privacy import Personal, Subject
from projections import Projection, Projections
from projections.declaration.chain import find_upstream
from projections.fold.fold import Folder
from projections.fold.trace import write_facts
from projections.release.change import describe_parts, list_changes
from projections.release.fingerprint import fingerprint
from tests.bank.chained import AccountOverdrawn, accounts, alarms, app, ranks
from tests.bank.events import MoneyMoved
from tests.bank.log import Ledger
from tests.bank.records import TOPICS, lay_out


@event("hidden-noted", version=1)
class HiddenNoted:
    whose: Subject[str]
    name: Personal[str]


@event("thing-derived", version=1)
class ThingDerived:
    number: int


@dataclass(slots=True)
class Thing:
    stream: str
    number: int = 0


class Seen(NamedTuple):
    """A record as the log gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


def declare(name="things", *, key=None, of=None, kinds=(MoneyMoved,), emits=ThingDerived):
    projection = Projection(name)
    table = projection.table(Thing, key="stream")
    table.on(*kinds, key=key, of=of)(lambda event, row: Thing("a", row.number + 1 if row else 1))
    if emits:
        table.emits(emits)(lambda before, after: emits(after.number))
    return projection


def test_orders_chain():
    """An app has its projections in the order in which they feed each other, whatever order they were given in."""
    assert [each.name for each in app] == ["accounts", "alarms", "ranks"]
    assert list(find_upstream(ranks)) == ["alarms"]
    assert find_upstream(accounts) == {}


def test_refuses_circle():
    """Projections that feed each other in a circle are refused when the app is made, by name."""
    first, second = Projection("first"), Projection("second")
    for here, there in ((first, second), (second, first)):
        table = here.table(Thing, key="stream")
        table.on(ThingDerived, of=there)(lambda event, row: Thing("a"))
        table.emits(ThingDerived)(lambda before, after: ThingDerived(1))
    with pytest.raises(UsageError, match=r"in a circle: (first -> second|second -> first)"):
        Projections(first, second)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: [alarms], "reads what 'accounts' derives: put both into the same"),
        (
            lambda: [accounts, declare(of=accounts)],
            "reads money-moved of 'accounts', which derives account-covered, account-overdrawn",
        ),
        (lambda: [declare(key=lambda event: event.kind)], "touched from several partitions"),
        (lambda: [declare(kinds=(HiddenNoted,))], "has personal fields, which could not be forgotten"),
        (lambda: [declare(emits=HiddenNoted)], "hidden-noted has personal fields"),
    ],
)
def test_refuses_app(make, why):
    """What can't be derived in one order, must not be, or is read from nobody, is refused when the app is made, with the reason."""
    with pytest.raises(UsageError, match=why):
        Projections(*make())


def test_refuses_effects():
    """An effect of an event that another projection derives would never be called, so it is refused when the app is made."""
    projection = declare(emits=None)
    projection.effect(AccountOverdrawn, name="letter")(lambda event: None)
    with pytest.raises(UsageError, match="waits for account-overdrawn, which 'accounts' derives"):
        Projections(accounts, projection)


def test_names_derived_changes():
    """When the events are another projection's derived ones, the parts that a plan compares say whose, and list their types."""
    recorded, derived = declare("one", kinds=(AccountOverdrawn,)), declare("one", kinds=(AccountOverdrawn,), of=accounts)
    told = list_changes(describe_parts(recorded), describe_parts(derived))
    assert told == ["handler account-overdrawn -> thing is gone", "handler account-overdrawn of accounts -> thing is new"]
    assert list(describe_parts(derived)["events"]) == ["account-overdrawn"]


def test_refuses_batches():
    """A table whose handler takes what a batch holds can't emit, nor can one that only SQL writes."""
    projection = Projection("things")
    table = projection.table(Thing, key="stream")
    table.emits(ThingDerived)(lambda before, after: None)
    table.spans(MoneyMoved)(lambda events, row: row)
    with pytest.raises(UsageError, match="what a batch happens to hold"):
        Projections(projection)
    projection = Projection("things")
    projection.table(Thing, key="stream").emits(ThingDerived)(lambda before, after: None)
    projection.sql(MoneyMoved)(lambda connection, event: None)
    with pytest.raises(UsageError, match="no handlers that are told of a row"):
        Projections(projection)


def test_refuses_function():
    """A function that could not be called, or that names no kind, is refused where it is declared."""
    table = Projection("things").table(Thing, key="stream")
    with pytest.raises(UsageError, match="takes \\(before, after\\)"):
        table.emits(ThingDerived)(lambda after: None)
    with pytest.raises(UsageError, match="names its kinds"):
        table.emits()(lambda before, after: None)


def test_parks_other_kind():
    """A record whose function gives what the table does not say it emits fails by name, and leaves nothing behind."""
    projection = declare(emits=None)
    projection.tables[0].emits(ThingDerived)(lambda before, after: MoneyMoved("a", 1, "fee"))
    folder = Folder(projection, {"events": "t"}, complete=True)
    plan = folder.read(make_records([Ledger().move("a")]))
    [failure] = folder.fold_carefully(plan)
    assert "does not say so in emits" in failure.reason
    assert folder.tracer.take() == []


def test_changes_fingerprint():
    """What a projection emits is part of its fingerprint, and a change of it is named."""
    with_, without = declare(), declare(emits=None)
    assert fingerprint(with_) != fingerprint(without)
    assert "handler thing -> thing-derived is new" in list_changes(describe_parts(without), describe_parts(with_))


def make_records(events):
    return [Seen("t", 0, offset, 7, each.stream.encode(), each.document()) for offset, each in enumerate(events)]


def derive(records, cuts, *, carefully=False) -> list[dict[str, Any]]:
    """Fold *records* in batches that end at *cuts* and give the derived documents."""
    folder = Folder(accounts, {"events": "t"}, complete=True)
    made, number = [], 1
    for start, end in zip([0, *cuts], [*cuts, len(records)], strict=True):
        if records[start:end]:
            plan = folder.read(records[start:end])
            folder.fold_carefully(plan) if carefully else folder.fold(plan)
            written = write_facts(folder.tracer.take(), "accounts", "projections/accounts/g1", {0: number})
            number += len(written)
            made += [decode(each.value) for each in written]
    return made


@given(seed=st.integers(0, 10**6), count=st.integers(1, 40), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_ignores_batches(seed, count, cuts):
    """However the log is cut into batches, and however they are folded, the same events follow, under the same ids and numbers."""
    records = make_records(Ledger(seed).some(count, accounts=4))
    ends = sorted(min(each, count) for each in cuts)
    whole = derive(records, [])
    assert derive(records, ends) == whole
    assert derive(records, ends, carefully=True) == whole
    assert [each["streamversion"] for each in whole] == list(range(1, len(whole) + 1))
    assert len({each["id"] for each in whole}) == len(whole)
    causes = [each["derivedfrom"].rpartition("/")[0] for each in whole]
    assert [each["derivedlast"] for each in whole] == [
        here != there for here, there in zip(causes, [*causes[1:], None], strict=False)
    ]


@dataclass
class Loose:
    stream: str
    number: int = 0
    when: datetime | None = None


@dataclass(slots=True)
class Deep:
    stream: str
    numbers: list[int]


@pytest.mark.parametrize("row", [Thing("a", 1), Loose("a", 1), Deep("a", [1])], ids=["slots", "plain", "deep"])
def test_keeps_the_past(row):
    """What a row was before stays as it was, whatever its handler does to the row itself or to what it holds."""
    projection = Projection("kept")
    table = projection.table(type(row), key="stream")
    seen = []

    @table.on(MoneyMoved)
    def change(moved, held):
        if held is None:
            return row
        if isinstance(held, Deep):
            held.numbers.append(2)
        else:
            held.number += 1
        return held

    table.emits(ThingDerived)(lambda before, after: seen.append((repr(before), repr(after))))
    ledger = Ledger()
    for _ in range(2):
        ledger.move("a", 5)
    first = repr(row)
    folder = Folder(projection, TOPICS, complete=True)
    folder.fold(folder.read(lay_out(ledger.events)[0]))
    assert seen == [("None", first), (first, repr(row))]
    assert first != repr(row)
