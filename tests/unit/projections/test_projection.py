"""Declaring projections and finding them again."""

import sys
from dataclasses import dataclass

import pytest

from eventstore.errors import UsageError
from projections import Projection, Projections
from projections.declaration.projection import EVENTS
from projections.declaration.registry import load_app
from tests.bank import release1
from tests.bank.events import MoneyMoved


@dataclass(slots=True)
class Row:
    id: str


def keep(event, row):
    return row


@pytest.mark.parametrize("name", ["", "Upper", "1st", "a_b", "a" * 40, "a b"])
def test_bad_names(name):
    """A name that could not be a schema, a group and a flag alike is refused."""
    with pytest.raises(UsageError, match="a-z"):
        Projection(name)


def test_bad_version():
    """Versions count from one."""
    with pytest.raises(UsageError, match="version"):
        Projection("bank", version=0)


def test_two_tables_of_one_name():
    """Two tables of one name are refused, unless one is given another."""
    projection = Projection("bank")
    projection.table(Row, key="id")
    projection.table(Row, key="id", name="other")
    with pytest.raises(UsageError, match="name="):
        projection.table(Row, key="id")


def test_handler_of_no_event():
    """A class that is no event is refused by the decorator that would make it one."""
    table = Projection("bank").table(Row, key="id")
    with pytest.raises(UsageError, match="@event"):
        table.on(Row)(keep)


@pytest.mark.parametrize("handler", [lambda: None, lambda event: None, lambda event, row, envelope, more: None])
def test_handler_of_other_arity(handler):
    """A handler takes two parameters or three."""
    table = Projection("bank").table(Row, key="id")
    with pytest.raises(UsageError, match="parameters"):
        table.on(MoneyMoved)(handler)


def test_ownership():
    """Rows under their own stream belong to one partition; rows under a key of their own are shared."""
    bank = release1.bank
    assert [bank.projection.owns(each) for each in (bank.balance, bank.kinds, bank.trail)] == [True, False, True]
    assert bank.projection.wanted(EVENTS) == {"money-moved", "account-closed"}
    assert [each.name for each in bank.projection.sources] == ["events"]


def test_unknown_name():
    """An unknown projection is refused with the nearest name."""
    with pytest.raises(UsageError, match=r"Did you mean 'bank'\?"):
        release1.app.named("bnak")
    with pytest.raises(UsageError, match="known: bank"):
        release1.app.named("zzz")


def test_two_of_one_name():
    """A name owns its tables, so no two projections may share one."""
    with pytest.raises(UsageError, match="bank"):
        Projections(release1.bank.projection, release1.bank.projection)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("tests.bank.nowhere:app", "cannot import 'tests.bank.nowhere'"),
        ("tests.bank.release1:bank", "is Bank, not a Projections.* Did you mean tests.bank.release1:app"),
        ("tests.bank.release1:apps", "'apps' in tests.bank.release1 is not there. Did you mean tests.bank.release1:app"),
        ("tests.bank.events:app", "is not there. Make one"),
    ],
)
def test_bad_app(reference, said):
    """A reference that leads to no Projections is refused with what was found."""
    with pytest.raises(UsageError, match=said):
        load_app(reference)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nobodys_library\n", r"faulty0.py:1: No module named 'nobodys_library'; install it"),
        ("\ndef f(:\n", r"faulty1.py:2: SyntaxError: invalid syntax"),
        ("x = 1\nx = undefined\n", r"faulty2.py:2: NameError: name 'undefined' is not defined"),
    ],
)
def test_app_with_fault(tmp_path, monkeypatch, code, said):
    """An app that can't be imported is refused with file and line of what stands against it."""
    name = said.partition(".")[0]
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(UsageError, match=said):
        load_app(f"{name}:app")


def test_app_by_reference():
    """`module:name` finds the app; the name may be left out when it is `app`."""
    assert load_app("tests.bank.release1:app") is load_app("tests.bank.release1") is release1.app


def test_app_in_working_directory(tmp_path, monkeypatch):
    """An app is found in the working directory, which goes last on the path."""
    (tmp_path / "bank_in_cwd.py").write_text("from tests.bank.release1 import app\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert load_app("bank_in_cwd") is release1.app
    assert sys.path[-1] == str(tmp_path)


def test_shadowing_folder(tmp_path, monkeypatch):
    """A folder with the name of a package of ours is refused before it can be taken for it."""
    (tmp_path / "projections").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="Rename it"):
        load_app("tests.bank.release1")
