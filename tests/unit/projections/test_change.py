"""What changed between two releases of a projection, in words, and whether readers of the old one can go on."""

from dataclasses import make_dataclass

import pytest

from projections import Projection
from projections.release.change import describe_parts, is_additive, judge_change, list_changes
from tests.bank import release1, release2
from tests.bank.events import AccountClosed, MoneyMoved


def parts(fields, *kinds, version=1, key="account", indexes=()):
    projection = Projection("bank", version=version)
    row = make_dataclass("Balance", fields, slots=True)
    row.__module__ = __name__
    projection.table(row, key=key, indexes=indexes).on(*(kinds or (MoneyMoved,)), key=lambda event: event.account)(fold)
    return describe_parts(projection)


def fold(event, row):
    return row


OLD = [("account", str), ("cents", int)]


def test_releases():
    """Between two releases of the bank the version and one handler changed, and nothing that readers see."""
    old, new = (describe_parts(each.bank.projection) for each in (release1, release2))
    assert list_changes(old, new) == ["version 1 -> 2", "handler money-moved -> balance changed"]
    assert judge_change(old, new, same=False)[0] == "needs rebuild"
    assert judge_change(old, old, same=True) == ("unchanged", [])
    assert judge_change(None, new, same=False) == ("needs rebuild", [])


def test_additive():
    """A column more is additive and named with its type; readers of the old release don't ask for it."""
    old, new = parts(OLD), parts([*OLD, ("note", str | None)])
    verdict, changes = judge_change(old, new, same=False)
    assert (verdict, changes[0]) == ("additive column", "column balance.note is new (text)")


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (parts([("account", str)]), "column balance.cents is gone"),
        (parts([("account", str), ("cents", str)]), "column balance.cents bigint not null -> text not null"),
        (parts([("account", str), ("cents", int | None)]), "column balance.cents bigint not null -> bigint"),
        (parts(OLD, indexes=[("cents",)]), "key, indexes or tenant of balance changed"),
        (parts(OLD, MoneyMoved, AccountClosed), "handler account-closed -> balance is new"),
        (parts(OLD, AccountClosed), "event money-moved is gone"),
    ],
)
def test_not_additive(new, said):
    """Whatever else changed needs a rebuild that readers must be ready for, and is named."""
    old = parts(OLD)
    verdict, changes = judge_change(old, new, same=False)
    assert verdict == "needs rebuild"
    assert said in changes
    assert not is_additive(old, old)
