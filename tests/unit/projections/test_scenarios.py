"""Scenarios of projections: whatever a projection has is folded as a worker would, or refused with what to do instead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdc import CapturedTable
from cdc.testing import CapturedRows
from eventstore.envelope import NewEvent, RawEvent
from eventstore.errors import Unreachable, UsageError
from eventstore.event import event, upcast
from eventstore.privacy import Personal, Subject
from eventstore.settings import PostgresSettings
from eventstore.testing import given_for
from projections import Count, Projection, Projections, Sum
from tests.bank import noted, release6
from tests.bank.chained import (
    AccountCovered,
    AccountOverdrawn,
    AlarmRaised,
    Balance,
    Rank,
    accounts,
    alarms,
    app,
    balance,
    rank,
    ranks,
)
from tests.bank.events import AccountClosed, MoneyMoved
from tests.shop.goods import GOODS, Good, Kind, good, goods, kind
from tests.shop.priced import GoodSold, Sale, priced, sales

ROWS = CapturedRows(GOODS, key="id")
TOY = {"id": 1, "kind": "toy", "price": 5}
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def move(account: str, amount: int) -> tuple[str, MoneyMoved]:
    return account, MoneyMoved(account, amount, "deposit")


def test_derives() -> None:
    """What follows is asserted in order, alone, with its stream, or by its class; after `when`, what followed from that."""
    given = given_for(accounts)
    story = given(move("ada", 5), move("ada", -9), move("bob", -1))
    story.then_derives(AccountOverdrawn("ada", -4), AccountOverdrawn("bob", -1))
    story.then_derives(("ada", AccountOverdrawn("ada", -4)), ("bob", AccountOverdrawn))
    story.when(move("ada", 4)).then_derives(AccountCovered("ada"), AccountCovered)
    story.then_rows(balance, Balance("ada", 0, 3), Balance("bob", -1, 1))
    given(move("ada", -1)).when(move("ada", -1)).times(2).then_derives(AccountOverdrawn, AccountOverdrawn("ada", -3))
    given().when(move("ada", 1)).then_derives()


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (
            [AccountOverdrawn("ada", -5)],
            ["what accounts derives differ", "- AccountOverdrawn(account='ada', cents=-5)", "cents=-4)"],
        ),
        ([("bob", AccountOverdrawn)], ["+ ('ada', AccountOverdrawn(account='ada', cents=-4))", "given: ('ada', MoneyMoved("]),
        ([], ["+ AccountOverdrawn(account='ada', cents=-4)"]),
        ([AccountOverdrawn, AccountCovered], ["- AccountCovered(…)"]),
    ],
)
def test_tells_derived(expected: list[Any], said: list[str]) -> None:
    """A failure shows what was expected to follow beside what did, and what was given."""
    with pytest.raises(AssertionError) as caught:
        given_for(accounts)(move("ada", -4)).then_derives(*expected)
    assert [each for each in said if each not in str(caught.value)] == []


def test_given_derived() -> None:
    """A projection that reads what another derives is given that directly, to the handlers of that source."""
    given = given_for(alarms)
    overdrawn = AccountOverdrawn("ada", -5)
    story = given(("ada", overdrawn), (accounts, "ada", AccountCovered("ada")), (accounts, "bob", overdrawn))
    story.then_derives(("ada", AlarmRaised(1)), ("bob", AlarmRaised(1)))
    rows = story._play(alarms).rows["alarms"]["alarm"]
    assert [(each.account, each.times, each.ringing) for each in rows.values()] == [("ada", 1, False), ("bob", 1, True)]
    given_for(ranks)((alarms, AlarmRaised(3)), AlarmRaised(3)).then_rows(rank, Rank(3, 2))


def test_chain() -> None:
    """Events of the store are folded through all projections that feed each other, each reading what those above derive."""
    story = given_for(app)(move("ada", -5), move("ada", 7), move("ada", -9), move("bob", -1))
    story.then_rows(rank, Rank(1, 2), Rank(2, 1)).then_rows(balance, Balance("ada", -7, 3), Balance("bob", -1, 1))
    story.then_derives(AccountOverdrawn, AccountCovered, AccountCovered, AccountOverdrawn, AccountOverdrawn, of=accounts)
    story.when(move("bob", -2)).then_derives(("bob", AlarmRaised(2)), of=alarms).then_rows(rank, Rank(1, 2), Rank(2, 2))
    [ids] = [each.ids for each in story._play(alarms).rows["alarms"]["alarm"].values() if each.account == "bob"]
    assert len(set(ids.split())) == 2
    given_for(app)().then_nothing()


@pytest.mark.parametrize(
    ("scenario", "why"),
    [
        (lambda: given_for(app)(AccountCovered("ada")).then_nothing(), "account-covered follows from what accounts folds"),
        (
            lambda: given_for(alarms)(move("ada", 1)).then_nothing(),
            r"alarms reads nothing like money-moved of events: it reads derived",
        ),
        (
            lambda: given_for(alarms)((accounts, "ada", AlarmRaised(1))).then_nothing(),
            "accounts derives account-covered, account-over",
        ),
        (lambda: given_for(accounts)((alarms, AlarmRaised(1))).then_nothing(), "accounts reads nothing like derived:alarms"),
        (
            lambda: given_for(accounts)(ROWS.insert(**TOY)).then_nothing(),
            "accounts reads nothing like cdc:operations:public.good",
        ),
        (lambda: given_for(accounts)((1, 2, 3)).then_nothing(), "can't be given: give an event"),
        (lambda: given_for(accounts)(datetime(2026, 1, 1)).then_nothing(), "say when in a time zone"),  # noqa: DTZ001
        (lambda: given_for(accounts)().times(2), "of something that was given"),
        (lambda: given_for(app)(move("a", 1)).then_derives(), "several: accounts, alarms each emits anything; say which by of="),
        (lambda: given_for(ranks)().then_derives(), "none of these emits anything"),
        (lambda: given_for(alarms)().then_derives(of=accounts), "accounts is none that emits anything here; alarms does"),
        (lambda: given_for(alarms)().then_rows(balance), "'balance' is no table of alarms"),
    ],
)
def test_refuses(scenario: Any, why: str) -> None:
    """What nobody reads, or what could not be asserted, is refused with the reason instead of being passed over."""
    with pytest.raises(UsageError, match=why):
        scenario()


def test_refuses_declaration() -> None:
    """A projection that could not be part of an app is refused as there."""
    projection = Projection("things")
    table = projection.table(Rank, key="times")
    table.on(MoneyMoved, key=lambda moved: moved.amount)(lambda moved, row: Rank(moved.amount))
    table.emits(AlarmRaised)(lambda before, after: None)
    with pytest.raises(UsageError, match="touched from several partitions"):
        given_for(projection)()


def test_captured() -> None:
    """Changes of a captured table are given as what happens to its rows; a truncate and a snapshot take rows away as in a worker."""
    given = given_for(goods)
    story = given(ROWS.insert(**TOY), ROWS.update(id=1, price=7), ROWS.insert(id=2, kind="toy", price=1))
    story.then_rows(good, Good(1, "toy", 7), Good(2, "toy", 1)).then_rows(kind, Kind("toy", 2, 8))
    story.when(ROWS.delete(id=2)).then_rows(kind, Kind("toy", 1, 7))
    story.when(ROWS.truncate()).then_nothing()
    read = given(ROWS.insert(**TOY), ROWS.insert(id=2, kind="cup", price=1)).when(ROWS.snapshot({**TOY, "price": 9}))
    read.then_rows(good, Good(1, "toy", 9)).then_rows(kind, Kind("toy", 1, 9))
    given(ROWS.insert(**TOY)).times(3).when(ROWS.snapshot()).times(2).then_rows(kind, Kind("toy", 1, 5))


def test_captured_apart() -> None:
    """With several partitions rows go by a snapshot only when each was read to its end, which a scenario does."""
    rows = CapturedRows(GOODS, key="id", partitions=3)
    story = given_for(goods)(*[rows.insert(id=each, kind="toy", price=1) for each in range(6)])
    story.when(rows.snapshot(TOY)).then_rows(good, Good(1, "toy", 5)).then_rows(kind, Kind("toy", 1, 5))
    with pytest.raises(UsageError, match="has 3 partitions and not 1: say the same each time"):
        story.when(ROWS.insert(id=9, kind="toy", price=1)).then_nothing()


def test_joined() -> None:
    """A row is joined with the version of its time, whichever comes first; times go on by a second, or as they are given."""
    given = given_for(priced)
    sold = ("s1", GoodSold(1, 2)), ("s2", GoodSold(1, 2))
    given(ROWS.insert(**TOY), sold[0], ROWS.update(id=1, price=7), sold[1]).then_rows(
        sales, Sale("s1", 1, 2, FIRST + timedelta(seconds=1), 10), Sale("s2", 1, 2, FIRST + timedelta(seconds=3), 14)
    )
    late = given(FIRST + timedelta(days=1), sold[0]).then_rows(sales, Sale("s1", 1, 2, FIRST + timedelta(days=1)))
    late.when(FIRST).when(ROWS.insert(**TOY)).then_rows(sales, Sale("s1", 1, 2, FIRST + timedelta(days=1), 10))


@dataclass(slots=True)
class Stay:
    guest: str
    at: datetime
    seen: str | None
    one: str | None = None
    two: str | None = None


@dataclass(slots=True)
class Rate:
    since: datetime
    text: str


def test_joined_bare() -> None:
    """Neither a handler nor another join sees what was joined before."""
    hotel = Projection("hotel")
    rates, stays = hotel.table(Rate, key="since"), hotel.table(Stay, key="guest")
    rates.on(AccountClosed, key=lambda closed: FIRST)(lambda closed, row: Rate(FIRST, closed.account))

    @stays.on(MoneyMoved)
    def stay(moved: MoneyMoved, row: Stay | None) -> Stay:
        return Stay(moved.account, FIRST, f"{row.one} {row.two}" if row else None)

    stays.join(rates, on=[], at="at", sets="one")(lambda stay, rate: rate and rate.text)
    stays.join(rates, on=[], at="at", sets="two")(lambda stay, rate: rate and f"{rate.text} beside {stay.one}")
    story = given_for(hotel)(("r", AccountClosed("x")), move("ada", 1), move("ada", 1)).times(2)
    story.then_rows(stays, Stay("ada", FIRST, "None None", "x", "x beside None"))
    story.when(("r", AccountClosed("y"))).then_rows(stays, Stay("ada", FIRST, "None None", "y", "y beside None"))


def test_recorded() -> None:
    """A record of any source is given as bytes, and read by the source itself."""
    given_for(noted.bank.projection)((noted.Notes(), b"ada", b"ada likes tea")).then_rows(
        noted.note, noted.Note("ada", "ada likes tea")
    )
    with pytest.raises(AssertionError, match="the record carries no schema"):
        given_for(goods)((GOODS, b"{}", b'{"id": 1}')).then_nothing()


@event("scenario-counted", version=2)
class Counted:
    number: int
    text: str = ""


@upcast("scenario-counted", version=1)
def _(data: dict[str, Any]) -> dict[str, Any]:
    return {"number": data["n"]}


@dataclass(slots=True)
class Line:
    number: int
    text: str | None = None


def test_kinds() -> None:
    """Adding handlers, spans, aggregates and effects are folded and noted, and events are read as they are recorded."""
    projection = Projection("counts")
    lines = projection.table(Line, key="number")
    totals = projection.aggregate(Counted, name="totals", many=Count(), sum=Sum("number"))
    lines.add(Counted)(lambda counted, envelope: Line(counted.number, envelope.metadata.get("by", counted.text)))
    projection.effect(Counted, name="ring")(lambda counted: None)
    given = given_for(projection)
    story = given(RawEvent("scenario-counted", {"n": 4})).when(NewEvent(Counted(5, "x"), metadata={"by": "ada"}))
    story.then_rows(lines, Line(4, ""), Line(5, "ada")).then_rows(totals, totals.row("stream-1", 2, 9))
    story.then_effects(("ring", Counted(5, "x"))).then_effects("ring")
    with pytest.raises(AssertionError, match=r"the effects of counts differ"):
        story.then_effects("ring", "ring")
    given(Counted(1)).when(Counted(1)).then_raises(ValueError, match="lines? has a row under key 1 already")


def test_nothing() -> None:
    """Nothing means that nothing is derived and nothing to be done outside, and not rows alone."""
    projection = Projection("silent")
    projection.effect(Counted)(lambda counted: None)
    with pytest.raises(AssertionError, match="the effects of silent differ"):
        given_for(projection)(Counted(1)).then_nothing()
    emitting = Projection("talking")
    table = emitting.table(Line, key="number")
    table.on(AccountClosed)(lambda closed, row: None)
    table.emits(Counted)(lambda before, after: Counted(1))
    with pytest.raises(AssertionError, match="what talking derives differ"):
        given_for(emitting)(("1", AccountClosed("a"))).then_nothing()


def test_raises() -> None:
    """What a handler raises comes as it is; a row that PostgreSQL would refuse, or under another key, is refused with the reason."""
    poison = "ada", MoneyMoved("ada", 1, "poison")
    error = given_for(accounts)(move("ada", 1)).when(poison).then_raises(ValueError, match="is poison")
    assert isinstance(error, ValueError)
    with pytest.raises(ValueError, match="this move is poison"):
        given_for(accounts)(poison).then_nothing()
    with pytest.raises(ValueError, match="came back under key 'bob' instead of 'ada'"):
        given_for(accounts)(("ada", MoneyMoved("bob", 1, "fee"))).then_nothing()
    with pytest.raises(ValueError, match="it does not fit 64 bits"):
        given_for(accounts)(move("ada", 2**62), move("ada", 2**62)).then_nothing()
    with pytest.raises(AssertionError, match="ValueError was not raised"):
        given_for(accounts)(move("ada", 1)).then_raises(ValueError)
    with pytest.raises(AssertionError, match="does not match 'cholera'"):
        given_for(accounts)(poison).then_raises(ValueError, match="cholera")


@event("scenario-met")
class Met:
    who: Subject[str]
    name: Personal[str]


@dataclass(slots=True)
class Friend:
    tenant: str
    who: str
    name: str


def test_tenants() -> None:
    """Rows of a tenant's streams have its key, personal fields are open, and a stream of no tenant is refused."""
    projection = Projection("friends")
    table = projection.table(Friend, key="who", tenant="tenant")

    @table.on(Met, key=lambda met: met.who)
    def meet(met: Met, row: Friend | None, envelope: Any) -> Friend:
        return Friend(envelope.tenant, met.who, met.name)

    given_for(projection)(("@acme/a", Met("p1", "Ada"))).then_rows(table, Friend("acme", "p1", "Ada"))
    given_for(projection)(Met("p1", "Ada")).then_raises(AssertionError, match="is of no tenant")


def test_needs_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL handlers without a server are refused by name, and only when their tables are asked for."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", "postgresql://nobody@127.0.0.1:1/nothing")
    assert PostgresSettings().address
    with pytest.raises(
        Unreachable, match=r"bank has SQL handlers, whose statements need a real server: PostgreSQL at .*127.0.0.1"
    ):
        given_for(release6.projection)(move("ada", 1)).then_nothing()
    both = given_for(Projections(release6.projection, accounts))
    both(move("ada", 1)).then_rows(balance, Balance("ada", 1, 1))


def test_declared_twice() -> None:
    """A table that is captured otherwise than the projection has it is refused: its changes would be others."""
    other = CapturedRows(CapturedTable("operations", "public.good"), key="id")
    with pytest.raises(UsageError, match=r"full=True.*give both the same"):
        given_for(goods)(other.insert(**TOY)).then_nothing()
