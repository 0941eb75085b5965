"""The experiment that proves a projection deterministic: it passes what is, and finds what is not."""

from dataclasses import asdict, dataclass, field

import pytest

from projections import Projection
from tests.bank import release1, release2, release3, restless
from tests.bank.events import AccountClosed, AccountNoted, MoneyMoved
from tests.bank.log import Ledger
from tests.bank.oracle import expect

SEEN: list[str] = []


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
