"""The test kit itself: what passes, what fails, and what a failure says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from eventstore import event
from eventstore.decider import Decider
from eventstore.errors import UsageError
from eventstore.privacy import Personal, Subject
from eventstore.process import Call, Cancel, Complete, Schedule, Send
from eventstore.repository import Repository
from eventstore.snapshot import every
from eventstore.testing import Clock, MemoryEventStore, MemorySnapshots, given_for
from examples.fulfilment.billing import PaymentReceived, RequestPayment
from examples.fulfilment.fulfilment import PATIENCE, PaymentOverdue, fulfilment
from examples.fulfilment.orders import (
    CancelOrder,
    Order,
    OrderCancelled,
    OrderPaid,
    OrderPlaced,
    PayOrder,
    PlaceOrder,
    Refused,
    orders,
)
from projections import Projection

PLACED = OrderPlaced("ada", 4_200)


@pytest.fixture
def subject() -> object:
    return orders


def test_decider(given: Callable[..., Any]) -> None:
    """Given events, when a command, then these events, nothing, an error, or a state."""
    given().when(PlaceOrder("ada", 4_200)).then(PLACED)
    given(PLACED).when(PayOrder(4_200)).then(OrderPaid(4_200)).then_state(Order("paid", 4_200))
    given(PLACED, OrderPaid(4_200)).when(CancelOrder("late")).then_nothing()
    assert isinstance(given().when(PayOrder(1)).then_raises(Refused, match="that is new"), Refused)
    given(PLACED).then_state(Order("placed", 4_200))


def test_times(given: Callable[..., Any]) -> None:
    """A command that comes several times is decided on what the last one left behind."""
    given(PLACED).when(PayOrder(4_200)).times(3).then(OrderPaid(4_200))
    given(PLACED).when(CancelOrder("late")).times(2).then(OrderCancelled)
    with pytest.raises(UsageError, match="at least once"):
        given().when(PlaceOrder("ada", 1)).times(0)


def test_process() -> None:
    """A process gives effects, once for each time that something happens, and none when it is over."""
    given = given_for(fulfilment)
    given(instance="o-1").when(PLACED).then(
        Send("bill-o-1", RequestPayment("o-1", 4_200)), Schedule("payment", PaymentOverdue(), after=PATIENCE)
    )
    given(PLACED, instance="o-1").when(PaymentReceived("o-1", 4_200)).then(Cancel("payment"), Send)
    given(PLACED, instance="o-1").when(PaymentOverdue()).then(Send("o-1", CancelOrder("4200 cents did not come in time")))
    given(PLACED, instance="o-1").when(OrderPaid(4_200)).times(2).then(Call("thank", {"order": "o-1"}), Complete())
    given(PLACED, OrderPaid(4_200)).when(PaymentOverdue()).then_nothing()


@event("scenario-visited")
class Visited:
    who: str


@dataclass(slots=True)
class Visits:
    who: str
    count: int = 0


def test_projection() -> None:
    """A projection's rows are asserted in whatever order, and an event that comes twice shows whether that is harmless."""
    projection = Projection("scenario-visits", version=1)
    table = projection.table(Visits, key="who")

    @table.on(Visited, key=lambda visited: visited.who)
    def count(visited: Visited, row: Visits | None) -> Visits | None:
        row = row or Visits(visited.who)
        row.count += 1
        return None if visited.who == "ghost" else row

    given = given_for(projection)
    given(Visited("ada"), ("door-2", Visited("bob")), Visited("ada")).then_rows(table, Visits("bob", 1), Visits("ada", 2))
    given(Visited("ada")).when(Visited("bob")).times(2).then_rows(table, Visits("ada", 1), Visits("bob", 2))
    given(Visited("ghost")).then_nothing()
    with pytest.raises(AssertionError, match=r"rows of 'visits' differ"):
        given(Visited("ada")).then_nothing()


@pytest.mark.parametrize(
    ("assertion", "said"),
    [
        (
            lambda given: given(PLACED).when(PayOrder(4_200)).then(OrderPaid(42)),
            ["- OrderPaid(cents=42)", "+ OrderPaid(cents=4200)"],
        ),
        (lambda given: given(PLACED).when(PayOrder(4_200)).then_nothing(), ["+ OrderPaid(cents=4200)", "state before: Order("]),
        (lambda given: given().when(PlaceOrder("ada", 1)).then(OrderPaid), ["- OrderPaid(…)", "given: nothing"]),
        (
            lambda given: given(PLACED).when(PayOrder(4_200)).then_raises(Refused),
            ["Refused was not raised", "OrderPaid(cents=4200)"],
        ),
        (lambda given: given().when(PayOrder(1)).then_raises(Refused, match="no such words"), ["does not match 'no such words'"]),
        (lambda given: given(PLACED).then_state(Order("paid", 1)), ["the states after what was given differ"]),
        (lambda given: given(PLACED).when(PayOrder(4_200)).times(2).then_nothing(), ["PayOrder(cents=4200), 2 times"]),
    ],
)
def test_failures(given: Callable[..., Any], assertion: Callable[[Any], object], said: list[str]) -> None:
    """A failure shows what was expected beside what came, and what was given."""
    with pytest.raises(AssertionError) as caught:
        assertion(given)
    assert [each for each in said if each not in str(caught.value)] == []


def test_no_subject() -> None:
    """What has no scenarios is named."""
    with pytest.raises(UsageError, match="no scenarios for int"):
        given_for(5)


async def test_clock(event_store: MemoryEventStore, clock: Clock) -> None:
    """Events of the store in memory are recorded at the time that the test's clock shows."""
    await event_store.append("order-1", [PLACED])
    clock.advance(timedelta(days=1))
    await event_store.append("order-1", [OrderPaid(1)])
    first, second = [each.recorded_at async for each in event_store.read_stream("order-1")]
    assert second - first == timedelta(days=1)


@event("scenario-named")
class Named:
    who: Subject
    name: Personal[str]


async def test_personal(event_store: MemoryEventStore, snapshots: MemorySnapshots, caplog: pytest.LogCaptureFixture) -> None:
    """Personal data needs no keys in memory; a state that it went into gets no snapshot, and the log says why."""
    names = Decider(list[str], lambda state, named: [*state, named.name], lambda name, _: [Named("person-1", name)])
    async with Repository(event_store, names, snapshots=snapshots, policy=every(1)) as repository:
        await repository.handle("a", "Ada")
        assert (await repository.load("a")).state == ["Ada"]
    assert snapshots.kept == {}
    assert "persons' data" in caplog.text


PLUGIN_TEST = '''
import pytest

def test_without(request):
    """A test that uses nothing of the plugin."""

def test_fixture(given):
    """A test that did not say what is tested."""
'''


def test_plugin(tmp_path: Path) -> None:
    """The plugin is found by its entry point, loads no driver until used, and says what it needs."""
    (tmp_path / "test_app.py").write_text(PLUGIN_TEST)
    code = (
        "import sys, pytest\n"
        "from importlib.metadata import entry_points\n"
        "assert 'eventstore.testing.plugin' in [each.value for each in entry_points(group='pytest11')]\n"
        "code = pytest.main(['-q', '-p', 'no:cacheprovider', '-p', 'no:randomly', 'test_app.py'])\n"
        "print(code, sorted({'sqlalchemy', 'psycopg', 'aiokafka', 'alembic'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "define a fixture `subject`" in done.stdout
    assert done.stdout.rstrip().endswith("1 []"), done.stdout
