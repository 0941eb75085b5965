"""The experiment that proves a projection deterministic: it passes what is, and finds what is not."""

import random
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import pytest

from cdc.testing import CapturedRows
from projections import Count, Projection, Projections, Sum
from tests.bank import chained, release1, release2, release3, restless
from tests.bank.events import AccountClosed, AccountNoted, MoneyMoved
from tests.bank.log import Ledger
from tests.bank.oracle import expect
from tests.shop.goods import GOODS, goods, kind
from tests.shop.priced import GoodSold, priced

SEEN: list[str] = []
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Row:
    kind: str
    text: str = ""
    marks: list = field(default_factory=list)


def events(count=120):
    """Give the bank's events as (stream, event), and as the oracle knows them."""
    ledger = Ledger()
    recorded = ledger.some(count)
    kinds = {"money-moved": MoneyMoved, "account-closed": AccountClosed, "account-noted": AccountNoted}
    return [(each.stream, kinds[each.type](**each.data)) for each in recorded], recorded


def projected(handler, key=None):
    projection = Projection("bank")
    projection.table(Row, key="kind").on(MoneyMoved, key=key)(handler)
    return projection


@pytest.mark.parametrize(("release", "worth"), [(release1, int), (release2, abs)])
def test_passes(chaos, replay_equals, release, worth):
    """The bank's rows are the same under every schedule, and they are what the oracle expects."""
    given, recorded = events()
    assert len(replay_equals(release.bank.projection, given)) == 12
    for seed in range(5):
        rows = chaos(release.bank.projection, seed=seed).run(given)
        found = {table: {key: asdict(row) for key, row in held.items()} for table, held in rows.items()}
        assert found == expect(recorded, worth)


def test_passes_added(replay_equals):
    """Rows that are added and never seen again are the same too."""
    assert replay_equals(release3.diary, events()[0])


def test_same_seed(chaos):
    """A seed makes one schedule: it says the same again."""
    given, _ = events(40)
    first, again = chaos(release1.bank.projection, seed=3), chaos(release1.bank.projection, seed=3)
    assert (first.run(given), first.said) == (again.run(given), again.said)
    assert "seed 3" in first.said[0]


def test_finds_chance(replay_equals):
    """A handler that draws a value is found, with the row, both versions and both schedules."""
    with pytest.raises(AssertionError, match="bank is not deterministic: the row 'account-") as found:
        replay_equals(restless.bank, events(20)[0])
    assert str(found.value).count("seed ") == 2


def remembered(event, row):
    SEEN.append(event.account)
    return Row(event.account, str(len(SEEN)))


def latest(event, row):
    return Row(event.kind, event.account)


def shared(event, row):
    row = row or Row(event.account, marks=SHARED)
    row.marks.append(event.amount)
    return row


SHARED: list[int] = []


@pytest.mark.parametrize(("handler", "key"), [(remembered, None), (latest, lambda event: event.kind), (shared, None)])
def test_finds_state(replay_equals, handler, key):
    """State outside of the row, rows that share a list, and the latest of several streams are found."""
    SEEN.clear()
    SHARED.clear()
    with pytest.raises(AssertionError, match="not deterministic"):
        replay_equals(projected(handler, key), events(60)[0])


def test_passes_nothing(replay_equals):
    """No event, and one alone, give the same rows as ever."""
    assert replay_equals(release1.bank.projection, [])
    assert replay_equals(release1.bank.projection, [MoneyMoved("stream-1", 1, "fee")])


def test_passes_chain(chaos, replay_equals):
    """Projections that feed each other give the same rows and derive the same events, under the same ids, whatever the schedule."""
    given, _ = events(80)
    assert len(replay_equals(chained.app, given, runs=12)) == 12
    runs = [chaos(chained.app, seed=each) for each in range(12)]
    rows = [each.run(given) for each in runs]
    assert rows[0].keys() == {"accounts.balance", "alarms.alarm", "ranks.rank"}
    assert sum(row.alarms for row in rows[0]["ranks.rank"].values()) == sum(
        len(found) for (name, _), found in runs[0].derived.items() if name == "alarms"
    )
    told = [{place: [(e.id, e.data) for e in found] for place, found in each.derived.items()} for each in runs]
    assert told.count(told[0]) == len(told)
    alone = chaos(chained.alarms, seed=3)
    derived = [("a", chained.AccountOverdrawn("a", -1)), ("b", chained.AccountOverdrawn("b", -1))]
    assert set(alone.run(derived)["alarm"]) == {"a", "b"}
    assert [*alone.derived] == [("alarms", "a"), ("alarms", "b")]


def careless(emit):
    """Declare the accounts anew, whose balances emit what *emit* says, and the alarms that read it."""
    above, below = Projection("accounts"), Projection("alarms")
    table = above.table(chained.Balance, key="account")
    table.on(MoneyMoved)(lambda moved, row: chained.Balance(moved.account, (row.cents if row else 0) + moved.amount))
    table.emits(chained.AccountOverdrawn)(emit)
    below.table(chained.Rank, key="times").on(chained.AccountOverdrawn, of=above, key=lambda overdrawn: overdrawn.cents)(
        lambda overdrawn, row: chained.Rank(overdrawn.cents, (row.alarms if row else 0) + 1)
    )
    return Projections(above, below)


def test_finds_chance_derived(replay_equals):
    """A function that derives by chance is found where it is, with the stream, both events and both schedules."""
    chance = random.Random(7)
    app = careless(lambda before, after: chained.AccountOverdrawn(after.account, chance.randrange(10**9)))
    with pytest.raises(AssertionError) as found:
        replay_equals(app, events(20)[0])
    words = str(found.value)
    assert words.startswith("accounts is not deterministic: what it derives as number 1 of stream 'account-")
    assert words.count("AccountOverdrawn(account=") == words.count("seed ") == 2


def test_finds_state_derived(replay_equals):
    """A function that remembers what it derived before is found, and so is one that at times derives nothing."""
    said = set()

    def once(before, after):
        told = after.account in said
        said.add(after.account)
        return None if told else chained.AccountOverdrawn(after.account, 0)

    with pytest.raises(AssertionError, match=r"(?s)as number 1 of stream 'account-.*\n  nothing\n"):
        replay_equals(careless(once), events(20)[0])


def story(rows, seed, count=50):
    """Tell what happens to captured goods, and give what they are in the end."""
    dice, known, told = random.Random(seed), {}, []
    for _ in range(count):
        key, chance = dice.randrange(6), dice.random()
        if chance < 0.05:
            told.append(rows.truncate())
            known.clear()
        elif chance < 0.12 and known:
            known = {each: row for each, row in known.items() if dice.random() < 0.7} or {9: {"id": 9, "kind": "k", "price": 1}}
            told.append(rows.snapshot(*known.values()))
        elif key not in known:
            known[key] = {"id": key, "kind": f"k{key % 3}", "price": dice.randrange(9)}
            told.append(rows.insert(**known[key]))
        elif chance < 0.5:
            known[key] = {**known[key], "price": dice.randrange(9)}
            told.append(rows.update(**known[key]))
        else:
            told.append(rows.delete(id=key))
            del known[key]
    return told, known


@pytest.mark.parametrize("partitions", [1, 3])
def test_passes_captured(chaos, replay_equals, partitions):
    """Captured rows, truncated, read anew and sent twice, give the rows of the source under every schedule, sums included."""
    rows = CapturedRows(GOODS, key="id", partitions=partitions)
    told, known = story(rows, partitions)
    replay_equals(goods, told, runs=10)
    made = chaos(goods, seed=5)
    assert {key: asdict(row) for key, row in made.run(told)["good"].items()} == known
    assert any("changes sent twice" in each for each in made.said)


def test_finds_counted_deletes(replay_equals):
    """A handler that minds how a row went is found: with several partitions a truncate may be met after the row came again."""
    rows = CapturedRows(GOODS, key="id", partitions=3)
    projection = Projection("gone")
    table = projection.table(Row, key="kind")
    table.on_change(GOODS, key=lambda change: "all")(
        lambda change, row: Row("all", marks=[*(row.marks if row else []), *([change.swept] if change.swept else [])])
    )
    with pytest.raises(AssertionError, match="gone is not deterministic: the row 'all' of row"):
        replay_equals(projection, story(rows, 1)[0])


def test_passes_joined(chaos, replay_equals):
    """Joined rows are the same whatever was read first."""
    rows, dice, told = CapturedRows(GOODS, key="id"), random.Random(1), []
    told = [rows.insert(id=each, kind="k", price=each) for each in range(3)]
    for number in range(40):
        key = dice.randrange(3)
        told.append(rows.update(id=key, price=number) if number % 3 == 0 else (f"sale-{number}", GoodSold(key, 2)))
    replay_equals(priced, told, runs=10)
    sales = chaos(priced, seed=2).run(told)["sale"]
    assert len(sales) == 26
    assert all(each.cents is not None for each in sales.values())


@dataclass(slots=True)
class Name:
    region: str
    since: datetime


@dataclass(slots=True)
class Visit:
    account: str
    day: datetime
    region: str
    name: str | None = None


def test_finds_chance_joined(replay_equals):
    """A join whose function draws a value is found."""
    chance, projection = random.Random(3), Projection("visits")
    names = projection.table(Name, key=["region", "since"])
    visits = projection.table(Visit, key="account")
    names.on(MoneyMoved, key=lambda moved: (moved.kind, START))(lambda moved, row: Name(moved.kind, START))
    visits.on(MoneyMoved)(lambda moved, row: Visit(moved.account, START, moved.kind))
    visits.join(names, on="region", at="day", sets="name")(lambda visit, name: str(chance.random()))
    with pytest.raises(AssertionError, match="the row 'account-"):
        replay_equals(projection, events(10)[0])


def test_passes_aggregates(replay_equals):
    """Declared aggregates over several streams are the same."""
    projection = Projection("sums")
    projection.aggregate(MoneyMoved, by="kind", name="sums", moves=Count(), cents=Sum("amount"))
    assert replay_equals(projection, events(60)[0])
    assert kind.key == ("kind",)
