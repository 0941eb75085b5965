"""Whatever the batch cuts, the partitioning, the commit points and the crashes: the rows are those of one pass."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from projections.fold.fold import Folder
from projections.fold.sheet import Sheet
from projections.fold.step import HandlerFailed
from tests.bank.log import KINDS, Ledger
from tests.bank.oracle import expect
from tests.bank.records import TOPICS, Raw, lay_out
from tests.bank.release1 import bank

STREAMS = [f"account-{each}" for each in range(5)]
MOVES = st.tuples(st.sampled_from(STREAMS), st.just("money-moved"), st.integers(-9, 9), st.sampled_from(KINDS))
CLOSES = st.tuples(st.sampled_from(STREAMS), st.just("account-closed"), st.none(), st.none())
NOTES = st.tuples(st.sampled_from(STREAMS), st.just("account-noted"), st.none(), st.none())
POISON = st.tuples(st.sampled_from(STREAMS), st.just("money-moved"), st.integers(-9, 9), st.just("poison"))
HISTORY = st.lists(st.one_of(MOVES, MOVES, MOVES, CLOSES, NOTES), max_size=60)
POISONED = st.lists(st.one_of(MOVES, MOVES, MOVES, CLOSES, POISON), max_size=60)


def make_ledger(history) -> Ledger:
    ledger = Ledger()
    for stream, kind, amount, sort in history:
        ledger.note(kind, stream, **({"amount": amount, "kind": sort} if kind == "money-moved" else {}))
    return ledger


class Database:
    """A model of the tables and checkpoints: plain dicts, changed only by a commit."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, Any]] = {each.name: {} for each in bank.projection.tables}
        self.offsets: dict[int, int] = {}
        self.parked: set[tuple[str, bytes | None]] = set()

    def load(self, folder: Folder, plan: Any) -> None:
        for table, keys in plan.keys().items():
            sheet, stored = folder.sheets[table], self.rows[table]
            missing = sheet.missing(keys)
            sheet.load(missing, [copy.deepcopy(stored[key]) for key in missing if key in stored])

    def commit(self, folder: Folder, offsets: dict[int, int]) -> None:
        """Write as PostgreSQL would: a fresh row must be new, a known and a deleted one must be there."""
        for name, sheet in folder.sheets.items():
            stored, key_of = self.rows[name], sheet.table.key_of
            fresh, known, gone = sheet.changed()
            for row in fresh:
                assert key_of(row) not in stored, "COPY would fail on a duplicate key"
                stored[key_of(row)] = copy.deepcopy(row)
            for row in known:
                assert key_of(row) in stored
                stored[key_of(row)] = copy.deepcopy(row)
            for key in gone:
                del stored[key]
        self.offsets |= offsets
        self.parked = set(folder.parked)
        folder.settle()

    def plain(self) -> dict[str, dict[Any, dict[str, Any]]]:
        return {
            table.name: {key: {each: getattr(row, each) for each in table.columns} for key, row in self.rows[table.name].items()}
            for table in bank.projection.tables
        }


class Worker:
    """One owner of some partitions, as `Pipeline` is: read, load, fold, commit; fold carefully when a handler raises."""

    def __init__(self, database: Database, log: dict[int, list[Raw]], partitions: list[int], *, exclusive: bool) -> None:
        self._database = database
        self._log = log
        self._exclusive = exclusive
        self.partitions = partitions
        self.claim()

    def claim(self) -> None:
        self.folder = Folder(bank.projection, TOPICS, complete=self._exclusive and not any(self._database.offsets.values()))
        self.folder.parked = set(self._database.parked)
        self.moves = {each: self._database.offsets.get(each, 0) for each in self.partitions}

    def absorb(self, partition: int, count: int) -> None:
        here = self.moves[partition]
        records = self._log[partition][here : here + count]
        if not records:
            return
        try:
            self._absorb(records, carefully=False)
        except HandlerFailed:
            self.claim()
            self._catch_up(partition, here + count)
            return
        self.moves[partition] = here + len(records)

    def _catch_up(self, partition: int, until: int) -> None:
        records = self._log[partition][self.moves[partition] : until]
        if records:
            self._absorb(records, carefully=True)
            self.moves[partition] += len(records)

    def _absorb(self, records: list[Raw], *, carefully: bool) -> None:
        plan = self.folder.read(records)
        self._database.load(self.folder, plan)
        if carefully:
            self.folder.fold_carefully(plan)
        else:
            self.folder.fold(plan)

    def commit(self, *, drop_cache: bool, most_keys: int = 0) -> None:
        self._database.commit(self.folder, self.moves)
        if drop_cache:
            self.folder.evict(most_keys)

    @property
    def is_done(self) -> bool:
        return all(self.moves[each] == len(self._log[each]) for each in self.partitions)


STEP = st.tuples(
    st.integers(0, 3), st.integers(1, 20), st.sampled_from(["go on", "commit", "commit and clear", "commit and evict", "crash"])
)


@settings(deadline=None)
@given(history=POISONED, steps=st.lists(STEP, max_size=25), partitions=st.integers(1, 4))
def test_rebuild_any_way(history, steps, partitions):
    """A rebuild cut, committed, crashed and poisoned anywhere, over any number of partitions, ends with the oracle's rows."""
    ledger = make_ledger(history)
    log = lay_out(ledger.events, partitions)
    database = Database()
    worker = Worker(database, log, list(log), exclusive=True)
    for partition, count, then in steps:
        worker.absorb(partition % partitions, count)
        if then == "crash":
            worker.claim()
        elif then != "go on":
            worker.commit(drop_cache=then != "commit", most_keys=3 if then == "commit and evict" else -1)
    while not worker.is_done:
        for partition in log:
            worker.absorb(partition, 7)
        worker.commit(drop_cache=False)
    worker.commit(drop_cache=False)
    assert database.plain() == expect(ledger.events)


@settings(deadline=None)
@given(
    history=HISTORY,
    owners=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20), st.booleans()), max_size=25),
)
def test_workers_any_way(history, owners, steps):
    """Any number of workers that share the partitions, and each commit every batch or lose it, end with the oracle's rows."""
    ledger = make_ledger(history)
    log = lay_out(ledger.events, 4)
    database = Database()
    workers = {
        owner: Worker(database, log, [p for p in log if owners[p] == owner], exclusive=False) for owner in sorted(set(owners))
    }
    for partition, count, crash in [*steps, *((p, 100, False) for p in log)]:
        worker = workers[owners[partition]]
        worker.claim()
        worker.absorb(partition, count)
        if not crash:
            worker.commit(drop_cache=True)
    assert database.plain() == expect(ledger.events)


@settings(deadline=None)
@given(history=HISTORY, cuts=st.lists(st.integers(1, 10), max_size=20))
def test_careful_equals_fast(history, cuts):
    """Folding carefully, folding fast and folding in one pass give the same rows when nothing fails."""
    [records] = lay_out(make_ledger(history).events).values()
    fast, careful, once = (Folder(bank.projection, TOPICS, complete=True) for _ in range(3))
    start = 0
    for cut in [*cuts, len(records)]:
        piece = records[start : start + cut]
        fast.fold(fast.read(piece))
        assert careful.fold_carefully(careful.read(piece)) == []
        if piece:
            once.run(piece)
        start += cut
    found = [
        {name: {k: r for k, r in sheet.rows.items() if r} for name, sheet in each.sheets.items()}
        for each in (fast, careful, once)
    ]
    assert found[0] == found[1] == found[2]


KEYS = st.sampled_from(["a", "b", "c"])


class Sheets(RuleBasedStateMachine):
    """A sheet against a dict: loads, changes, deletes, commits and losses in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, int] = {}
        self.truth: dict[str, int] = {}
        self.sheet = Sheet(bank.balance, complete=True)

    def _need(self, key: str) -> None:
        missing = self.sheet.missing([key])
        self.sheet.load(missing, [bank.balance.row(each, self.stored[each]) for each in missing if each in self.stored])

    @rule(key=KEYS, cents=st.integers())
    def change(self, key: str, cents: int) -> None:
        self._need(key)
        self.sheet.rows[key] = bank.balance.row(key, cents)
        self.sheet.dirty.add(key)
        self.truth[key] = cents

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self._need(key)
        if self.sheet.rows.get(key) is not None:
            self.sheet.rows[key] = None
            self.sheet.dirty.add(key)
        self.truth.pop(key, None)

    @rule()
    def commit(self) -> None:
        fresh, known, gone = self.sheet.changed()
        assert not {each.account for each in fresh} & set(self.stored)
        assert {each.account for each in known} | set(gone) <= set(self.stored)
        self.stored |= {each.account: each.cents for each in [*fresh, *known]}
        for key in gone:
            del self.stored[key]
        self.sheet.settle()

    @rule()
    def lose(self) -> None:
        self.sheet.clear()
        self.truth = dict(self.stored)

    @precondition(lambda self: not self.sheet.dirty)
    @rule()
    def give_memory_back(self) -> None:
        self.sheet.clear()

    @precondition(lambda self: not self.sheet.dirty)
    @rule(most_keys=st.integers(0, 3))
    def evict(self, most_keys: int) -> None:
        self.sheet.evict(most_keys)

    @invariant()
    def agrees(self) -> None:
        for key, cents in self.truth.items():
            row = self.sheet.rows.get(key)
            assert (row.cents if row else self.stored[key]) == cents
        if not self.sheet.dirty:
            assert self.stored == self.truth


TestSheets = Sheets.TestCase
TestSheets.__doc__ = "A sheet writes exactly what changed, whatever was loaded, deleted, committed or lost before."
