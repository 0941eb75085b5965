"""Handlers that add rows: nothing is looked up, nothing is kept, and a key is taken once."""

import pytest

from eventstore.errors import UsageError
from projections.fold.fold import Folder
from projections.fold.step import HandlerFailed
from tests.bank.events import MoneyMoved
from tests.bank.log import Ledger
from tests.bank.records import TOPICS, lay_out
from tests.bank.release3 import Entry, diary, entry


def make_records(*kinds):
    ledger = Ledger()
    for kind in kinds:
        ledger.move("a", 5, kind)
    return lay_out(ledger.events)[0]


def test_adds_rows():
    """An event gives one row, several or none; they wait to be written, touch no key, and are forgotten once they are."""
    folder = Folder(diary, TOPICS, complete=False)
    plan = folder.read(make_records("deposit", "payment", "fee"))
    assert plan.keys() == {}
    folder.fold(plan)
    assert folder.sheets["entry"].added == [Entry("a/1", "a", 5), Entry("a/2", "a", 5), Entry("a/2/mirror", "a", -5)]
    assert (folder.pending, folder.cached) == (3, 0)
    folder.settle()
    assert folder.pending == 0


def test_one_pass_adds_the_same():
    """One pass over records adds what reading and folding add."""
    records = make_records("deposit", "payment", "fee", "deposit")
    twice, once = (Folder(diary, TOPICS, complete=True) for _ in range(2))
    twice.fold(twice.read(records))
    once.run(records)
    assert once.sheets["entry"].added == twice.sheets["entry"].added


def test_taken_key_parks():
    """A careful fold parks the event whose row's key is taken, in the database or by an event before it, and adds the rest."""
    folder = Folder(diary, TOPICS, complete=False)
    plan = folder.read(make_records("deposit", "deposit", "again"))
    assert plan.added_keys() == {"entry": {"a/1", "a/2"}}
    sheet = folder.sheets["entry"]
    sheet.load(["a/1", "a/2"], [Entry("a/2", "a", 1)])
    [taken, later] = folder.fold_carefully(plan)
    assert (taken.record.offset, later.record.offset) == (1, 2)
    assert "has a row under key 'a/2' already" in taken.reason
    assert sheet.changed() == ([Entry("a/1", "a", 5)], [], [])


def test_failing_record_spoils_one_pass():
    """Whatever fails in one pass ends it, for a careful fold to find the record."""
    [record] = make_records("deposit")
    with pytest.raises(HandlerFailed, match="UndecodableRecord"):
        Folder(diary, TOPICS, complete=True).run([record._replace(value=b"{")])


def test_rows_change_or_are_added():
    """A table takes handlers of one kind only, and an adding one takes no row."""
    with pytest.raises(UsageError, match="both add and on"):
        entry.on(MoneyMoved)(lambda event, row: row)
    with pytest.raises(UsageError, match=r"takes \(event\) or \(event, envelope\)"):
        entry.add(MoneyMoved)(lambda event, envelope, more: None)
    assert diary.owns(entry)
