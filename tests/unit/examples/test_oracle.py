"""The example's handlers against the oracle, folded by the plainest loop there is."""

from datetime import UTC, date, datetime, timedelta

import pytest

from eventstore.envelope import Envelope
from eventstore.event import registry
from eventstore.stream import START
from examples.flights import oracle, release1, release2
from examples.flights.data import flights, zones
from examples.flights.history import history
from projections.declaration.projection import EVENTS

FIRST, LAST = date(2013, 11, 2), date(2013, 11, 4)
LATER = datetime(2014, 1, 2, tzinfo=UTC)


def fold(app, until):
    """Run every event handler of *app* over the days' events up to *until*, one at a time; give each table's rows by key."""
    tables = {table.name: {} for projection in app for table in projection.tables}
    handlers = [each for projection in app for each in projection.handlers if each.source.name == EVENTS.name]
    for stream, new in history(flights(FIRST, LAST), zones()):
        if new.occurred_at <= until:
            envelope = Envelope(stream, 1, START, new.id, "", 1, new.event, {}, new.occurred_at, new.occurred_at)
            for each in handlers:
                if each.message == registry.of(type(new.event)).name:
                    _apply(each, tables[each.table.name], envelope)
    return tables


def _apply(handler, rows, envelope):
    key = handler.key(envelope.data) if handler.key else envelope.stream
    more = (envelope,) if handler.detailed else ()
    rows[key] = handler.function(envelope.data, rows.get(key), *more)


def values(rows, names):
    """Give *rows* as tuples of the columns *names*."""
    return [tuple(getattr(row, name) for name in names) for row in rows.values()]


@pytest.fixture(scope="module")
def known():
    """Give the days' facts as pandas has them."""
    return oracle.facts(FIRST, LAST)


@pytest.mark.parametrize("until", [LATER, datetime(2013, 11, 3, 17, 3, tzinfo=UTC)], ids=["all", "midway"])
@pytest.mark.parametrize(("app", "release"), [(release1.app, 1), (release2.app, 2)], ids=["v1", "v2"])
def test_handlers_equal_oracle(app, release, until, known):
    """Both releases' handlers build exactly the oracle's rows, also when only part of the events have happened."""
    wanted = oracle.expected(oracle.until(known, until, since=FIRST), oracle.operations(), release=release)
    found = fold(app, until)
    for table in ("departure", "route", "origin_hour", "aircraft"):
        names = oracle.columns(table, wanted[table])
        assert not oracle.differences(table, wanted[table], values(found[table], names))


def test_releases_differ(known):
    """The bug of release 1 shows on every route with a cancelled flight and nowhere else."""
    one, two = (oracle.expected(known, oracle.operations(), release=release)["route"] for release in (1, 2))
    assert (one["on_time"] - two["on_time"]).equals(one["cancelled"])
    assert one["cancelled"].sum() > 0
    assert one.drop(columns="on_time").equals(two.drop(columns="on_time"))


def test_oracle_sees_differences(known):
    """A wrong value, a missing row and a row too many are each named."""
    wanted = oracle.expected(known, oracle.operations(), release=1)["route"]
    rows = [tuple(row) for row in wanted[oracle.columns("route", wanted)].itertuples(index=False)]
    wrong = (*rows[0][:-1], rows[0][-1] + 1)
    said = oracle.differences("route", wanted, [wrong, *rows[2:], ("XX", "JFK", "XXX", 0, 0, 0, 0, 0, 0)])
    assert [text.rpartition(":")[2].split()[0] for text in said] == ["is", "should", "is"]


def test_until_forgets(known):
    """What is not yet known at an instant is neither counted nor guessed: no flight is both under way and arrived."""
    noon = datetime(2013, 11, 3, 17, tzinfo=UTC)
    seen = oracle.until(known, noon, since=FIRST)
    assert seen["day"].max() == oracle.pd.Timestamp(2013, 11, 3)
    assert (seen["departed_at"].dropna() <= noon).all()
    assert seen.loc[seen["departed_at"].isna(), ["dep_delay", "arrived_at"]].isna().all(axis=None)
    before = oracle.until(known, noon, since=date(2013, 11, 3))
    assert before[before["day"] == oracle.pd.Timestamp(FIRST)].equals(known[known["day"] == oracle.pd.Timestamp(FIRST)])
    assert oracle.until(seen, noon + timedelta(days=1), since=FIRST).equals(seen)
