"""What the lint says of handlers that would give other rows the next time, and that it says nothing of the others."""

# ruff: noqa: DTZ003, DTZ011, ICN001, PLW0603, PTH109, PTH110, PTH118, PTH123
import datetime as clock
import itertools
import os
import random
import secrets
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import choice
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from projections import Projection
from projections.release.lint import lint
from tests.bank import release1, release2, release3
from tests.bank.events import MoneyMoved

SEEN: list[str] = []
CACHE: dict[str, int] = {}
COUNT = 0
DICE = random.Random(7)
NUMBERS = itertools.count()
TALLY = SimpleNamespace(seen=0)


@dataclass(slots=True)
class Row:
    account: str
    text: str = ""
    made: datetime | None = None


@dataclass(slots=True)
class Marked:
    account: str
    mark: str = field(default_factory=lambda: str(uuid4()))


def declared(handler, row=Row):
    projection = Projection("bank")
    projection.table(row, key="account").on(MoneyMoved)(handler)
    return projection


def now(event, row):
    return Row(event.account, made=datetime.now(UTC))


def stamped(event, row):
    return Row(event.account, made=clock.datetime.utcnow())


def today(event, row):
    return Row(event.account, str(clock.date.today()))


def timed(event, row):
    return Row(event.account, str(time.time_ns()))


def drawn(event, row):
    return Row(event.account, str(random.random()))


def chosen(event, row):
    return Row(event.account, choice("ab"))


def rolled(event, row):
    return Row(event.account, str(DICE.random()))


def named(event, row):
    return Row(event.account, str(uuid4()) + str(uuid.uuid1()))


def secret(event, row):
    return Row(event.account, secrets.token_hex())


def configured(event, row):
    return Row(event.account, os.environ["HOME"] + (os.getenv("LANG") or ""))


def read(event, row):
    with open("rates.txt") as file:
        return Row(event.account, file.read())


def looked(event, row):
    return Row(event.account, Path("rates.txt").read_text("utf-8"))


def imported(event, row):
    from time import time as at

    return Row(event.account, str(at()))


def hashed(event, row):
    return Row(event.account, str(hash(event.account)))


def counted(event, row):
    global COUNT
    COUNT += 1
    return Row(event.account, str(COUNT))


def noted(event, row):
    SEEN.append(event.account)
    return Row(event.account, str(len(SEEN)))


def cached(event, row):
    CACHE[event.account] = CACHE.get(event.account, 0) + event.amount
    return Row(event.account, str(CACHE[event.account]))


def walked(event, row):
    return Row(event.account, " ".join(each for each in {event.account, event.kind}))


def listed(event, row):
    return Row(event.account, str(list(set(event.kind))))


def helper():
    return deeper()


def deeper():
    return datetime.now(tz=UTC)


def formatted(event, row):
    return Row(event.account, time.strftime("%Y") + time.ctime() + str(time.gmtime()))


def existing(event, row):
    return Row(event.account, f"{os.path.exists('rates.txt')} {os.getcwd()}")


def numbered(event, row):
    return Row(event.account, str(next(NUMBERS)))


def tallied(event, row):
    TALLY.seen = event.amount
    return Row(event.account, str(TALLY.seen))


def indirect(event, row):
    return Row(event.account, made=helper())


BAD = {
    now: "datetime.now",
    stamped: "clock.datetime.utcnow",
    today: "clock.date.today",
    timed: "time.time_ns",
    drawn: "random.random",
    chosen: "choice",
    rolled: "DICE.random",
    named: "uuid4",
    secret: "secrets.token_hex",
    configured: "os.environ",
    read: "open",
    looked: "Path('rates.txt').read_text",
    imported: "at",
    hashed: "hash",
    counted: "COUNT",
    noted: "SEEN",
    cached: "CACHE",
    walked: "{event.account, event.kind}",
    listed: "list(set(event.kind))",
    formatted: "time.strftime",
    existing: "os.path.exists",
    numbered: "next(NUMBERS)",
    tallied: "TALLY.seen",
    indirect: "datetime.now",
}


@pytest.mark.parametrize("handler", BAD, ids=lambda each: each.__name__)
def test_finds(handler):
    """Each planted fault is found, with its place and the handler that it is reached from."""
    found = lint(declared(handler))
    assert any(f"`{BAD[handler]}" in each.what for each in found), found
    line = handler.__code__.co_firstlineno
    assert any(f"{__name__}:" in str(each) and "handler of money-moved for row" in str(each) for each in found)
    if handler is not indirect:
        assert all(line < int(each.place.rpartition(":")[2]) <= line + 4 for each in found)


def asked(connection: sa.Connection, event: MoneyMoved) -> None:
    row = sa.table("row", sa.column("account"), sa.column("made"))
    connection.execute(sa.insert(row).values(account=event.account, made=sa.func.now()))
    connection.execute(sa.insert(row).values(account=sa.func.upper(event.account), made=sa.func.clock_timestamp()))
    connection.execute(sa.insert(row).values(account=sa.func.gen_random_uuid(), made=None))


def test_finds_in_statements():
    """Functions of the server that ask a clock or chance are found before a record is parked for them; others are not."""
    projection = declared(kept)
    projection.sql(MoneyMoved, apart=True)(asked)
    assert [each.what for each in lint(projection) if "sa." in each.what] == [
        "`sa.func.now()`",
        "`sa.func.clock_timestamp()`",
        "`sa.func.gen_random_uuid()`",
    ]


def test_finds_default():
    """A default of a row's class is read too, and so is a key function."""
    projection = Projection("bank")
    table = projection.table(Marked, key="account")
    table.on(MoneyMoved, key=divided)(kept)
    assert [each.handler for each in lint(projection)] == ["the key of money-moved for marked", "the default of marked.mark"]


def divided(event):
    return f"{event.account}{random.randrange(2)}"


def kept(event, row):
    return row


def clean(event, row, envelope):
    parts = sorted({event.account, event.kind})
    found = {}
    found["x"] = [1]
    found["x"].append(2)
    made = clock.datetime(2026, 1, 1, tzinfo=UTC) + clock.timedelta(days=1)
    own = list(parts)
    own.append(str(UUID(int=1)))
    return Row(event.account, os.path.join(*own), made)


def test_passes_clean():
    """Code that gives the same rows whenever it runs is not complained of: the bank's three releases, and much else."""
    assert lint(declared(clean)) == []
    for release in (release1, release2, release3):
        assert [found for each in release.app for found in lint(each)] == []
