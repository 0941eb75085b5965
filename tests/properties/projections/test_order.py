"""Rows equal their source whatever its log does: repeats, truncates, snapshots read again, positions that begin anew, many partitions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdc import CapturedTable
from cdc.change import Change, Origin
from eventstore.source import Message
from projections import Projection
from projections.fold.fold import Folder
from projections.order.epoch import History

TOPIC = "topic"


class Rec(NamedTuple):
    """A record whose value is the change itself."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: Any
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True, slots=True)
class Table(CapturedTable):
    """A captured table whose records need no decoding."""

    def reader(self, wanted):
        return lambda record: Message(self.table, record.value, record.value.key, None)


ITEMS = Table("shop", "public.item", full=True)
projection = Projection("items")


@dataclass(slots=True)
class Item:
    id: int
    text: str = ""
    heard: str = ""


@dataclass(slots=True)
class Kind:
    kind: int
    items: int = 0


item = projection.table(Item, key="id")
kind = projection.table(Kind, key="kind")


@item.on_change(ITEMS)
def keep(change, row):
    """Keep the row, and hear of it in turn: there, changed, gone."""
    assert (change.op in "cr") == (row is None)
    return None if change.op == "d" else Item(change.row["id"], change.row["text"])


@kind.on_change(ITEMS, key=lambda change: (change.before or change.row)["kind"])
def count(change, row):
    """Count the rows of a kind, which no row ever changes."""
    items = (row.items if row else 0) + {"c": 1, "r": 1, "d": -1}.get(change.op, 0)
    return Kind((change.before or change.row)["kind"], items) if items else None


@dataclass
class World:
    """A source table, its log as a connector writes it, and what happened."""

    random: Random
    partitions: int
    lsn: int = 1_000
    clock: int = 1_000
    last_commit: int | None = None
    table: dict[int, str] = field(default_factory=dict)
    log: list[list[Rec]] = field(default_factory=list)
    sent: list[tuple[int, bytes | None, Change]] = field(default_factory=list)
    begun: int = 0

    def __post_init__(self):
        self.log = [[] for _ in range(self.partitions)]

    def send(self, op, key, before, after, order, snapshot=None):
        block = {"ts_us": self.clock, "lsn": order[1], "txId": self.clock % 97, "snapshot": snapshot or "false"}
        if op == "t":
            change = Change("t", "public.item", (), None, None, Origin(block), order)
            self.put(self.random.randrange(self.partitions), None, change)
        else:
            change = Change(op, "public.item", (key,), before, after, Origin(block), order, ("id",))
            self.put(key % self.partitions, b"%d" % key, change)

    def put(self, partition, key, change):
        self.sent.append((partition, key, change))
        log = self.log[partition]
        log.append(Rec(TOPIC, partition, len(log), 0, key, change))

    def row(self, key):
        return {"id": key, "text": self.table[key], "kind": key % 3}

    def transact(self, deeds, *, heard=True):
        """Commit one transaction of (key, text), None = delete, key None = truncate; *heard* = the connector sees it."""
        self.clock += self.random.choice((0, 1, 5))
        commit = self.last_commit
        for key, text in deeds:
            self.lsn += self.random.choice((0, 7))  # rows of one COPY share a position
            order = (self.lsn if commit is None else commit, self.lsn)
            if key is None:
                self.table.clear()
                self.lsn += 1
                order = (self.lsn if commit is None else commit, self.lsn)
                if heard:
                    self.send("t", None, None, None, order)
                self.lsn += 1
                continue
            self.lsn += 1
            order = (self.lsn if commit is None else commit, self.lsn)
            before = self.row(key) if key in self.table else None
            if text is None:
                self.table.pop(key, None)
            else:
                self.table[key] = text
            if heard and (before or text is not None):
                op = "d" if text is None else "u" if before else "c"
                self.send(op, key, before, None if text is None else self.row(key), order)
        self.lsn += 10
        if heard:
            self.last_commit = self.lsn

    def snapshot(self, *, part=False, falls=False):
        """Read the whole table, or only begin to."""
        self.restart(falls=falls)
        self.begun = len(self.sent)
        self.clock += 10
        keys = sorted(self.table)
        self.random.shuffle(keys)
        for number, key in enumerate(keys[: len(keys) // 2] if part else keys):
            marker = "last_in_data_collection" if number == len(keys) - 1 else "first" if not number else "true"
            self.send("r", key, None, self.row(key), (self.lsn, self.lsn), marker)
        self.lsn += 5
        self.clock += 5

    def restart(self, *, falls):
        """Begin a new log, in which positions may fall; with several partitions nothing tells for sure that they did (ADR 0024)."""
        falls = falls and self.partitions == 1
        if falls:
            self.begun = len(self.sent)
        self.last_commit = None
        self.clock += 3_600_000_000
        self.lsn = 500 + self.random.randrange(100) if falls else self.lsn + 50

    def repeat(self, count):
        """Send the last *count* records again, as a worker does that died before it noted them.

        None of a log that is gone, and no row that was read beside the stream: of those it reads the whole chunk anew.
        """
        for partition, key, change in self.sent[max(self.begun, len(self.sent) - count) :]:
            if change.source.snapshot == "incremental":
                continue
            log = self.log[partition]
            log.append(Rec(TOPIC, partition, len(log), 0, key, change))

    def read_aside(self, keys):
        """Read some rows by an incremental snapshot."""
        for key in keys:
            if key in self.table:
                self.send("r", key, None, self.row(key), (self.lsn, self.lsn), "incremental")


keys = st.integers(0, 7)
deeds = st.lists(st.tuples(keys | st.none(), st.none() | st.text("ab", max_size=2)), min_size=1, max_size=4)
moves = st.one_of(
    deeds.map(lambda found: ("transact", found)),
    deeds.map(lambda found: ("transact", found)),
    st.tuples(st.just("snapshot"), deeds, st.booleans(), st.booleans()),
    st.booleans().map(lambda falls: ("restart", falls)),
    st.integers(1, 6).map(lambda count: ("repeat", count)),
    st.lists(keys, max_size=4).map(lambda found: ("aside", found)),
)


def live_out(world, story):
    """Let all of *story* happen."""
    for move in story:
        match move:
            case ("transact", found):
                world.transact(found)
            case ("snapshot", missed, part, falls):
                world.transact([each for each in missed if each[0] is not None], heard=False)
                world.table or world.transact([(1, "x")], heard=False)  # an empty table leaves no trace in the log
                if part:
                    world.snapshot(part=True, falls=falls)
                world.snapshot(falls=falls and not part)
            case ("restart", falls):
                world.restart(falls=falls)
            case ("repeat", many):
                world.repeat(many)
            case ("aside", found):
                world.read_aside(found)


class Reader:
    """Folds the world's log in whatever order its partitions come, as a build in memory or as a worker with a database."""

    def __init__(self, partitions: int, *, whole: bool) -> None:
        self.folder = Folder(projection, {ITEMS.name: TOPIC}, complete=whole)
        self.folder.set_partitions({TOPIC: partitions})
        self.whole = whole
        self.stored: dict[str, dict[Any, Any]] = {name: {} for name in self.folder.sheets}
        self.at = [0] * partitions

    def load(self, name, wanted):
        sheet, stored = self.folder.sheets[name], self.stored[name]
        if missing := sheet.missing(wanted):
            sheet.load(missing, [copy.deepcopy(stored[key]) for key in missing if key in stored])

    def run(self, plan):
        for name, wanted in plan.keys().items():
            self.load(name, wanted)
        assert plan.failures == []
        self.folder.fold(plan)
        self.write()

    def write(self):
        self.folder.seal()
        for name, sheet in self.folder.sheets.items():
            for key in sheet.dirty:
                self.stored[name].pop(key, None)
                if sheet.rows[key] is not None:
                    self.stored[name][key] = copy.deepcopy(sheet.rows[key])
        self.folder.settle()

    def take(self, world, partition, count):
        records = world.log[partition][self.at[partition] : self.at[partition] + count]
        if not records:
            return
        self.at[partition] += len(records)
        plan = self.folder.read(records)
        self.load(plan.ledger.sheet.table.name, plan.mark_keys())
        self.folder.admit(plan)
        self.run(plan)
        self.end_snapshot(world)
        self.sweep()
        if not self.whole:
            self.folder.clear()

    def end_snapshot(self, world):
        """Do what a worker does when the log's ends are known."""
        [ledger] = self.folder.ledgers.values()
        history: History = ledger.history
        if history.awaited is not None and not history.until:
            history.until = {number: len(each) for number, each in enumerate(world.log)}
        history.end_awaited(dict(enumerate(self.at)))
        self.write()

    def sweep(self):
        [ledger] = self.folder.ledgers.values()
        history = ledger.history
        if not history.is_due:
            return
        below = ledger.find_gone(self.stored[ledger.sheet.table.name].values())
        ledger.sheet.load([each.key for each in below], copy.deepcopy(below))
        self.run(self.folder.remove(TOPIC, below))
        ledger.history.swept = ledger.history.floor
        self.write()


@settings(deadline=None, max_examples=60)
@given(story=st.lists(moves, max_size=14), partitions=st.integers(1, 3), whole=st.booleans(), seed=st.integers(0, 1_000))
@example(story=[("transact", [(1, "a"), (2, "b")]), ("transact", [(None, None), (1, "c")])], partitions=2, whole=False, seed=1)
@example(story=[("transact", [(1, "a"), (4, "b")]), ("snapshot", [(1, None)], False, True)], partitions=3, whole=True, seed=2)
@example(
    story=[
        ("snapshot", [(0, None)], False, False),
        ("restart", True),
        ("transact", [(None, None)]),
        ("snapshot", [(0, None)], False, True),
    ],
    partitions=1,
    whole=False,
    seed=0,
)
@example(
    story=[("transact", [(0, "")]), ("restart", True), ("aside", [0]), ("transact", [(None, None)])],
    partitions=1,
    whole=False,
    seed=0,
)
@example(
    story=[
        ("transact", [(None, None)]),
        ("snapshot", [(0, None)], False, False),
        ("transact", [(0, None), (None, None), (0, "")]),
        ("aside", [0]),
    ],
    partitions=2,
    whole=False,
    seed=1,
)
@example(
    story=[
        ("restart", True),
        ("transact", [(6, "b"), (None, None), (0, None), (None, None)]),
        ("aside", []),
        ("restart", True),
        ("restart", True),
    ],
    partitions=1,
    whole=False,
    seed=0,
)
def test_rows_equal_their_source(story, partitions, whole, seed):
    """Rows and counts equal the source's in the end, and every handler hears that a row is there, of changes, that it is gone."""
    random = Random(seed)
    world = World(random, partitions)
    live_out(world, story)
    world.transact([(7, "end")])
    for partition in range(partitions):
        world.transact([(partition + partitions, "end")])
    reader = Reader(partitions, whole=whole)
    while reader.at != [len(each) for each in world.log]:
        reader.take(world, random.randrange(partitions), random.randint(1, 6))
    assert {key: row.text for key, row in reader.stored["item"].items()} == world.table
    counted = {key: row.items for key, row in reader.stored["kind"].items()}
    assert counted == {each: found for each in range(3) if (found := sum(key % 3 == each for key in world.table))}


def test_history_survives_its_text():
    """What is known of epochs and partitions is the same after it was written and read."""
    world = World(Random(3), 2)
    live_out(world, [("transact", [(1, "a"), (2, "b")]), ("snapshot", [(1, None)], True, True), ("transact", [(None, None)])])
    history = History(2)
    for partition, _, change in world.sent:
        history.ends_snapshot(place := ITEMS.place(change), history.locate(partition, place))
    history.until = {0: 3}
    again = History.read(history.write(), 2)
    assert vars(again) == vars(history)
    assert again.awaited is not None


def test_late_truncate():
    """A truncate that was set aside changes nothing, and applied later takes only the rows that were there before it."""
    world = World(Random(1), 1)
    world.transact([(1, "a"), (2, "b")])
    world.transact([(None, None)])
    world.transact([(2, "c"), (3, "d")])
    reader = Reader(1, whole=False)
    reader.folder.refusal = "a handler said no"
    truncate = next(each for each in world.log[0] if each.value.op == "t")
    plan = reader.folder.read(world.log[0])
    reader.load(plan.ledger.sheet.table.name, plan.mark_keys())
    [failure] = reader.folder.admit(plan)
    assert (failure.record, failure.reason, failure.waits) == (truncate, "a handler said no", False)
    plan.failures.clear()
    reader.run(plan)
    assert sorted(reader.stored["item"]) == [1, 2, 3]
    reader.folder.refusal = None
    reader.folder.clear()
    world.log[0], reader.at = [truncate], [0]
    reader.take(world, 0, 1)
    assert {key: row.text for key, row in reader.stored["item"].items()} == {2: "c", 3: "d"}


def test_handlers_hear_why():
    """A delete that the log does not have tells why there is one, and holds the row as it was last known."""
    world, heard = World(Random(1), 1), []
    world.transact([(1, "a"), (2, "b")])
    world.transact([(None, None)])
    world.transact([(2, "c")])
    world.transact([(2, None)], heard=False)
    world.transact([(3, "d")], heard=False)
    world.snapshot()
    world.transact([(3, None)], heard=False)
    world.transact([(3, "e")])
    folder = Folder(projection, {ITEMS.name: TOPIC}, complete=True)
    plan = folder.read(world.log[0])
    folder.admit(plan)
    for _, sheet, _, _, change, _ in plan.steps:
        if sheet.table.name == "item" and change.op == "d":
            heard.append((change.key, change.swept, change.before["text"]))
    assert heard == [((1,), "truncate", "a"), ((2,), "truncate", "b"), ((2,), "snapshot", "c"), ((3,), "unseen", "d")]
