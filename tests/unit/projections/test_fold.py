"""The fold: sheets, parking, and careful folding."""

from dataclasses import dataclass, field

import pytest

from projections import Projection
from projections.fold.fold import Folder
from projections.fold.sheet import Sheet
from projections.fold.step import HandlerFailed
from tests.bank.events import MoneyMoved
from tests.bank.log import Ledger
from tests.bank.oracle import expect
from tests.bank.records import TOPIC, TOPICS, Raw, lay_out
from tests.bank.release1 import bank


@dataclass(slots=True)
class Note:
    id: str
    lines: list[str] = field(default_factory=list)


def fold(folder, records, *, carefully=False):
    """Fold *records* of one partition and give the failures."""
    plan = folder.read(records)
    if carefully:
        return [*plan.failures, *folder.fold_carefully(plan)]
    folder.fold(plan)
    return plan.failures


def rows(folder):
    return {
        name: {key: {each: getattr(row, each) for each in sheet.table.columns} for key, row in sheet.rows.items() if row}
        for name, sheet in folder.sheets.items()
    }


def spoil(record):
    return record._replace(value=b"{")


def whys(failures):
    return [(each.record.offset, each.reason.partition(":")[0]) for each in failures]


def sheet_of(*rows_, complete=False):
    sheet = Sheet(bank.balance, complete=complete)
    for each in rows_:
        sheet.rows[each.account] = each
        sheet.dirty.add(each.account)
    return sheet


def balance(account, cents=0):
    return bank.balance.row(account, cents)


def test_one_pass():
    """One pass over the log gives the oracle's rows; types that nobody handles and tombstones are passed over."""
    ledger = Ledger()
    ledger.some(300)
    [records] = lay_out(ledger.events).values()
    folder = Folder(bank.projection, TOPICS, complete=True)
    assert fold(folder, [*records, Raw(TOPIC, 0, len(records), 0, b"account-1", None)]) == []
    assert rows(folder) == expect(ledger.events)


def test_keys_before_handlers():
    """Reading names every row that the handlers will touch, and runs none of them."""
    ledger = Ledger()
    ledger.move("a", kind="fee")
    ledger.note("account-closed", "b")
    folder = Folder(bank.projection, TOPICS, complete=False)
    plan = folder.read(lay_out(ledger.events)[0])
    assert plan.keys() == {"balance": {"a", "b"}, "kind_total": {"fee"}, "trail": {"a", "b"}}
    assert folder.pending == folder.cached == 0


def test_undecodable_parks_its_key():
    """An undecodable record is parked together with the later ones of its key, in this batch and the next; others go on."""
    ledger = Ledger()
    for stream in ("a", "b", "a", "b", "a"):
        ledger.move(stream)
    records = lay_out(ledger.events)[0]
    records[2] = spoil(records[2])
    folder = Folder(bank.projection, TOPICS, complete=True)
    assert whys(fold(folder, records[:4])) == [(2, "UndecodableRecord")]
    assert whys(fold(folder, records[4:])) == [(4, "an earlier record of this key is parked")]
    assert {key: row["moves"] for key, row in rows(folder)["balance"].items()} == {"a": 1, "b": 2}


def test_keyless_records_park_alone():
    """A record without a key belongs to no stream, so nothing waits behind it."""
    ledger = Ledger()
    ledger.move("a")
    ledger.move("b")
    first, second = lay_out(ledger.events)[0]
    folder = Folder(bank.projection, TOPICS, complete=True)
    assert whys(fold(folder, [spoil(first)._replace(key=None), second._replace(key=None)])) == [(0, "UndecodableRecord")]
    assert list(rows(folder)["balance"]) == ["b"]


def test_failing_handler_spoils_fast_fold():
    """A handler that raises ends a fast fold at once."""
    ledger = Ledger()
    ledger.move("a", kind="poison")
    with pytest.raises(HandlerFailed, match="can't be counted"):
        fold(Folder(bank.projection, TOPICS, complete=True), lay_out(ledger.events)[0])


def test_careful_fold_parks():
    """A careful fold parks the record whose handler raises and the later ones of its key, and leaves nothing of them behind."""
    ledger = Ledger()
    for stream, kind in (("a", "fee"), ("b", "fee"), ("a", "poison"), ("a", "fee"), ("b", "fee")):
        ledger.move(stream, 10, kind)
    folder = Folder(bank.projection, TOPICS, complete=True)
    failures = fold(folder, lay_out(ledger.events)[0], carefully=True)
    assert whys(failures) == [(2, "ValueError"), (3, "an earlier record of this key is parked")]
    assert rows(folder) == expect(ledger.events)
    assert folder.parked == {(TOPIC, b"a")}


def test_careful_fold_undoes_half():
    """A handler that changed its row deep inside before it raised leaves the row as it was."""
    projection = Projection("notes")
    notes = projection.table(Note, key="id")

    @notes.on(MoneyMoved)
    def noted(event, row):
        row = row or Note(event.account)
        row.lines.append(event.kind)
        if event.kind == "poison":
            raise ValueError(event.kind)
        return row

    ledger = Ledger()
    ledger.move("a", kind="fee")
    ledger.move("a", kind="poison")
    folder = Folder(projection, TOPICS, complete=True)
    assert whys(fold(folder, lay_out(ledger.events)[0], carefully=True)) == [(1, "ValueError")]
    assert rows(folder)["note"] == {"a": {"id": "a", "lines": ["fee"]}}


def test_careful_equals_fast():
    """Without failures a careful fold gives what a fast one gives."""
    ledger = Ledger()
    ledger.some(200)
    records = lay_out(ledger.events)[0]
    fast, careful = (Folder(bank.projection, TOPICS, complete=True) for _ in range(2))
    assert fold(fast, records) == fold(careful, records, carefully=True) == []
    assert rows(fast) == rows(careful)


def test_reason_says_where():
    """A reason names the error, its text and the line that raised it."""
    ledger = Ledger()
    ledger.move("a", kind="poison")
    [failure] = fold(Folder(bank.projection, TOPICS, complete=True), lay_out(ledger.events)[0], carefully=True)
    assert failure.reason.startswith("ValueError: this move can't be counted at counted:")


def test_missing_names_unknown_keys():
    """An incomplete sheet asks for keys it has not seen; one that is alone with its table asks for none."""
    assert sheet_of(balance("a")).missing(["a", "b", "b"]) == ["b"]
    assert sheet_of(complete=True).missing(["a"]) == []


def test_loaded_absence():
    """A key that was looked for and not found counts as known to be absent."""
    sheet = sheet_of()
    sheet.load(["a", "b"], [balance("a")])
    assert sheet.missing(["a", "b"]) == []
    assert (sheet.rows["b"], sheet.stored) == (None, {"a"})


def test_changed_sorts_rows():
    """Changes fall into rows the database has not, rows it has, and keys to delete; what came and went is nothing."""
    sheet = sheet_of()
    sheet.load(["old", "gone", "kept", "new", "ghost"], [balance("old"), balance("gone"), balance("kept")])
    sheet.rows |= {"old": balance("old", 1), "gone": None, "new": balance("new"), "ghost": None}
    sheet.dirty |= {"old", "gone", "new", "ghost"}
    assert sheet.changed() == ([balance("new")], [balance("old", 1)], ["gone"])
    sheet.settle()
    assert sheet.changed() == ([], [], [])
    assert sheet.stored == {"old", "kept", "new"}


def test_changed_unasked():
    """A row under a key that nobody looked for is not taken for new, unless no row can be there."""
    for complete, expected in ((False, ([], [balance("a")], [])), (True, ([balance("a")], [], []))):
        sheet = sheet_of(complete=complete)
        sheet.rows["a"] = balance("a")
        sheet.dirty.add("a")
        assert sheet.changed() == expected


def test_row_of_other_key():
    """A row that comes back under another key than was asked for is an error of the key function, not a missing row."""
    with pytest.raises(Exception, match="kind_total"):
        Sheet(bank.kinds, complete=False).load([5], [bank.kinds.row("5")])


def test_absence_outlives_commits():
    """A key that was looked for in vain, or deleted, is known to have no row after a commit too."""
    sheet = sheet_of(balance("gone"))
    sheet.load(["never", "gone"], [balance("gone")])
    sheet.rows["gone"], sheet.dirty = None, {"gone"}
    sheet.settle()
    for key in ("never", "gone"):
        sheet.rows[key] = balance(key)
        sheet.dirty.add(key)
    fresh, known, gone = sheet.changed()
    assert ({each.account for each in fresh}, known, gone) == ({"never", "gone"}, [], [])
    sheet.settle()
    assert sheet.absent == set()


def test_clear_forgets():
    """A cleared sheet knows nothing and must load whatever comes next."""
    sheet = sheet_of(balance("a"), complete=True)
    sheet.settle()
    sheet.clear()
    assert sheet.missing(["a"]) == ["a"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"schemaversion":1', b'"schemaversion":9', "version 9 is newer than this release's 1"),
        (b'"amount": 1', b'"amount": "much"', "amount: "),
        (b'"type":"money-moved",', b"", "no 'type'"),
        (b'"recordedat":"2026-01-01T00:00:00Z",', b"", "recordedat"),
    ],
)
def test_reason_of_undecodable(old, new, said):
    """A record of a newer release, with data that does not fit, or with fields missing is parked and its reason says so."""
    ledger = Ledger()
    ledger.move("a")
    [record] = lay_out(ledger.events)[0]
    assert old in record.value
    [failure] = fold(Folder(bank.projection, TOPICS, complete=True), [record._replace(value=record.value.replace(old, new))])
    assert said in failure.reason
