"""What changes a projection's fingerprint, and what does not."""

import importlib
import itertools
import sys
import textwrap

import pytest

from eventstore.meaning import LENGTH
from projections.release.fingerprint import fingerprint

COUNTER = itertools.count()
RULES = "def fee(amount):\n    return amount // 100\n\nLIMIT = 5\n"
APP = '''
import functools
import operator
from dataclasses import dataclass, field
from enum import Enum

import {rules} as rules
from {rules} import fee
from projections import Projection
from tests.bank.events import AccountClosed, MoneyMoved

FACTOR = 2
RATES = {{"deposit": 1, "fee": 3}}
KINDS = frozenset({{"deposit", "fee"}})


class Status(Enum):
    OPEN = "open"


def scale(cents):
    return cents * FACTOR


@functools.cache
def slow(cents):
    return cents + 1


def scaled(by):
    def apply(cents):
        return cents * by
    return apply


twice = scaled(2)


@dataclass(slots=True)
class Row:
    account: str
    cents: int = 0
    marks: list = field(default_factory=list)

    def add(self, cents):
        self.cents += cents


bank = Projection("bank", version=1)
table = bank.table(Row, key="account", indexes=[("cents",)])


@table.on(MoneyMoved, key=operator.attrgetter("account"))
def moved(event, row, *, least=0):
    """Add the move."""
    row = row or Row(event.account)
    if event.kind in KINDS:
        row.add(max(least, scale(event.amount) + fee(event.amount) + rules.LIMIT))  # the fee too
    row.marks.append(Status.OPEN.value + str(slow(RATES.get(event.kind, 0)) + twice(1)))
    return row


table.on(AccountClosed, key=lambda event: event.account)(lambda event, row: None)
projection = bank
'''


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Build the fingerprint of an app from its source with replacements, in modules of names never used before."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def build(*replacements, rules=RULES):
        names = f"rules_{next(COUNTER)}", f"app_{next(COUNTER)}"
        source = APP.format(rules=names[0])
        for old, new in replacements:
            assert old in source
            source = source.replace(old, new)
        (tmp_path / f"{names[0]}.py").write_text(rules)
        (tmp_path / f"{names[1]}.py").write_text(source)
        made.extend(names)
        importlib.invalidate_caches()
        return fingerprint(importlib.import_module(names[1]).projection)

    yield build
    for each in made:
        sys.modules.pop(each, None)


def test_same_code(make):
    """Equal code has an equal fingerprint, in whichever module it lies."""
    assert make() == make()
    assert len(make()) == LENGTH


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # the fee too", ""),
        ('    """Add the move."""\n', ""),
        ('"""Add the move."""', '"""Add it, in other words."""'),
        ("def moved(event, row, *, least=0):", "def moved(\n    event,\n    row,\n    *,\n    least=0,\n):"),
        ("FACTOR = 2\n", "UNUSED = 1\nFACTOR = 2\n"),
        ("(lambda event, row: None)", "(\n    lambda event, row: None\n)"),
        ('KINDS = frozenset({"deposit", "fee"})', 'KINDS = frozenset({"fee", "deposit"})'),
    ],
)
def test_layout_does_not_count(make, old, new):
    """Comments, docstrings, layout and what no handler uses do not change it."""
    assert make() == make((old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version=1", "version=2"),
        ("row or Row(event.account)", "row or Row(event.kind)"),
        ("cents * FACTOR", "cents + FACTOR"),
        ("FACTOR = 2", "FACTOR = 3"),
        ('"fee": 3', '"fee": 4'),
        ('KINDS = frozenset({"deposit", "fee"})', 'KINDS = frozenset({"deposit"})'),
        ('OPEN = "open"', 'OPEN = "opened"'),
        ("self.cents += cents", "self.cents -= cents"),
        ("cents: int = 0", "cents: int = 1"),
        ("default_factory=list", 'default_factory=lambda: ["x"]'),
        ("cents: int", "cents: float"),
        ('indexes=[("cents",)]', "indexes=[]"),
        ('attrgetter("account")', 'attrgetter("kind")'),
        ("lambda event: event.account", "lambda event: event.account + 'x'"),
        ("(lambda event, row: None)", "(lambda event, row: row)"),
        ("least=0", "least=1"),
        ("return cents + 1", "return cents + 2"),
        ("scaled(2)", "scaled(3)"),
        ("table.on(AccountClosed", "table.on(MoneyMoved"),
    ],
)
def test_meaning_counts(make, old, new):
    """Whatever may change rows changes it: bodies, helpers, constants, defaults, methods, keys, tables, versions."""
    assert make() != make((old, new))


@pytest.mark.parametrize(
    "rules", [RULES.replace("100", "50"), RULES.replace("LIMIT = 5", "LIMIT = 6")], ids=["function", "constant"]
)
def test_other_modules_count(make, rules):
    """Functions and constants of the app's other modules count, however they were imported."""
    assert make() != make(rules=rules)


def test_upcasters_count(make):
    """An upcaster of an event that the projection reads counts, one of another event does not."""
    from eventstore.event import registry

    before = make()
    for name, counts in (("account-noted", False), ("money-moved", True)):
        kind = registry.named(name)
        kind.upcasters[0] = lambda data: data
        try:
            assert (make() != before) is counts
        finally:
            del kind.upcasters[0]
    assert make() == before


def test_code_without_source():
    """Code that has no source, as in a console, counts by what it was compiled to."""
    from tests.bank.events import MoneyMoved

    def build(body):
        space = {}
        exec(textwrap.dedent(body), space)
        from projections import Projection
        from tests.bank.read_model import Balance

        projection = Projection("bank")
        projection.table(Balance, key="account").on(MoneyMoved)(space["moved"])
        return fingerprint(projection)

    first = build("def moved(event, row):\n    return row")
    assert first == build("def moved(event, row):\n    return row  # the same")
    assert first != build("def moved(event, row):\n    return None")
