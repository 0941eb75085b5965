"""Scenarios of projections whose handlers write by SQL, on temporary tables of a real server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cdc import Change
from cdc.testing import CapturedRows
from eventstore.testing import given_for
from projections import Projection
from tests.bank.events import AccountClosed, MoneyMoved
from tests.bank.release6 import Balance, Line, Total, balance, line, projection, total
from tests.shop.goods import GOODS


@pytest.fixture(autouse=True)
def server(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the settings name the test's server."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", postgres_dsn)


def move(account: str, amount: int, kind: str = "fee") -> tuple[str, MoneyMoved]:
    return account, MoneyMoved(account, amount, kind)


def test_written() -> None:
    """Rows that SQL wrote are asserted beside folded ones, and each assertion begins with empty tables."""
    story = given_for(projection)(move("ada", 5), move("bob", 1), move("ada", -2))
    story.then_rows(balance, Balance("ada", 3, 2), Balance("bob", 1, 1))
    story.then_rows(line, Line("ada", 1, 5), Line("bob", 1, 1), Line("ada", 2, -2))
    story.then_rows(total, Total("ada", 3, " 1 2"), Total("bob", 1, " 1"))
    closed: tuple[str, Any] = "ada", AccountClosed("ada")
    story.when(closed).then_rows(balance, Balance("bob", 1, 1)).when(move("bob", 1)).times(2).then_rows(
        balance, Balance("bob", 3, 3)
    )


def test_refused() -> None:
    """What PostgreSQL refuses in a handler is raised as it is, and so is a statement that reaches too far."""
    given = given_for(projection)
    given(move("ada", 1)).when(move("ada", 1, "refused")).then_raises(sa.exc.IntegrityError, match="null value in column")
    given(move("ada", 1, "sql:SELECT * FROM eventstore.event")).then_raises(Exception, match="eventstore")


@dataclass(slots=True)
class Price:
    id: int
    price: int


def test_captured(replay_equals: Callable[..., str]) -> None:
    """SQL handlers of a captured table hear of every row, truncated ones too, in scenarios and under schedules."""
    copies, rows = Projection("copies"), CapturedRows(GOODS, key="id", partitions=2)
    table = copies.table(Price, key="id")

    @copies.sql(GOODS, apart=True)
    def copy(connection: sa.Connection, change: Change) -> None:
        if change.after is None:
            connection.execute(sa.delete(table.table).where(table.table.c.id == change.key[0]))
            return
        made = insert(table.table).values(id=change.key[0], price=change.after["price"])
        connection.execute(made.on_conflict_do_update(index_elements=["id"], set_={"price": made.excluded.price}))

    told = [rows.insert(id=each, kind="k", price=each) for each in range(4)]
    told += [rows.update(id=1, price=9), rows.truncate(), rows.insert(id=2, kind="k", price=8)]
    given_for(copies)(*told[:5]).then_rows(table, *(Price(each, 9 if each == 1 else each) for each in range(4)))
    given_for(copies)(*told).then_rows(table, Price(2, 8))
    assert replay_equals(copies, told, runs=6)
