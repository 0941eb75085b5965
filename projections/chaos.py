"""The determinism of a projection, by experiment: the same events folded under many schedules must give the same rows.

A schedule says how streams are shared out over partitions and those over workers, how large batches are, when who commits, whether rows
stay in memory (as in a build) or are read back (as in a worker), and where a process dies before or after its commit. A seed decides it.
The fold is the real one; the database is a dictionary that holds what was committed, as PostgreSQL would give it back. SQL handlers need
the real thing: they run on scratch tables of the server that the settings name (`readmodels.desk`), each commit a transaction.
"""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from eventstore.codec import encode_sorted
from eventstore.envelope import Envelope
from eventstore.errors import UsageError
from eventstore.event import registry
from eventstore.log.partitioner import partition_of
from eventstore.log.wire import compose_envelope
from eventstore.meaning import shorten
from eventstore.stream import Position
from projections.declaration.projection import EVENTS, Projection
from projections.fold.fold import Folder
from projections.fold.step import Call
from projections.readmodels.desk import Desk

Rows = dict[str, dict[Any, Any]]
"""By table and key."""
_WHEN = datetime(2026, 1, 1, tzinfo=UTC)
_TOPIC = "chaos.events"
RUNS = 25


class _Raw(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class _Store:
    """What is committed: rows by table, and how far each partition is."""

    rows: Rows
    offsets: dict[int, int] = field(default_factory=dict[int, int])


class Chaos:
    """One schedule of *projection*, chosen by *seed*; equal seeds give equal schedules. *said* tells what happened in the last run."""

    def __init__(self, projection: Projection, seed: int = 0) -> None:
        if any(each.source is not EVENTS for each in projection.all_handlers):
            raise UsageError(f"{projection.name}: chaos makes events, and this projection reads a captured table too")
        if projection.joins:
            raise UsageError(
                f"{projection.name}: chaos folds without a database, and this projection has joins. Replay it: a rebuild "
                "that differs from the live rows is refused."
            )
        self.projection = projection
        self.seed = seed
        self.said: list[str] = []

    def run(self, events: Sequence[object]) -> Rows:
        """Fold *events* in the order of recording, each alone or as (stream, event), and give the committed rows by table and key.

        With SQL handlers it needs PostgreSQL (REFOLD_POSTGRES_DSN), where it leaves nothing. Raises Unreachable without.
        """
        with Desk(self.projection) if self.projection.sql_handlers else nullcontext() as desk:
            return self._run(events, desk)

    def _run(self, events: Sequence[object], desk: Desk | None) -> Rows:
        dice = random.Random(self.seed)  # noqa: S311 - it must give the same again
        partitions, builds, largest = dice.randint(1, 5), dice.random() < 0.5, dice.choice((1, 3, 20, 1000))
        workers = 1 if builds else dice.randint(1, 4)
        crashes = dice.choice((0.0, 0.1, 0.3))
        self.said = [
            f"seed {self.seed}: {partitions} partitions, {workers} {'builders' if builds else 'workers'}, batches up to {largest}"
        ]
        log = _lay_out(events, partitions)
        store = _Store({each.name: {} for each in self.projection.tables}, dict.fromkeys(log, 0))
        folders: dict[int, _Hand] = {}
        while any(store.offsets[each] < len(log[each]) for each in log):
            worker = dice.randrange(workers)
            mine = [each for each in log if each % workers == worker and store.offsets[each] < len(log[each])]
            if not mine:
                continue
            hand = folders.setdefault(worker, _Hand(self.projection, store, desk, builds=builds))
            self._turn(hand, log, mine, dice, largest)
            dies, survives = dice.random() < crashes, dice.random() < 0.5
            hand.end(keep=not dies or survives)
            if dies:
                self.said.append(f"worker {worker} dies {'after' if survives else 'before'} its commit")
                del folders[worker]
        return store.rows | (desk.rows() if desk else {})

    def _turn(
        self, hand: _Hand, log: Mapping[int, Sequence[_Raw]], mine: Sequence[int], dice: random.Random, largest: int
    ) -> None:
        """Fold one to three batches without a commit between them."""
        for _ in range(dice.randint(1, 3)):
            partition = dice.choice(mine)
            start = hand.where(partition)
            hand.absorb(log[partition][start : start + dice.randint(1, largest)])


class _Hand:
    """One process at work; what it has not committed dies with it."""

    def __init__(self, projection: Projection, store: _Store, desk: Desk | None, *, builds: bool) -> None:
        self._store = store
        self._desk = desk
        self._calls: list[Call] = []
        self._builds = builds
        untouched = builds and not any(store.offsets.values())
        self._folder = Folder(projection, {"events": _TOPIC}, complete=untouched)
        self._moves: dict[int, int] = {}

    def where(self, partition: int) -> int:
        return self._moves.get(partition, self._store.offsets[partition])

    def absorb(self, records: Sequence[_Raw]) -> None:
        if not records:
            return
        plan = self._folder.read(records)
        if plan.failures:
            raise AssertionError(f"{plan.failures[0].record.value!r}: {plan.failures[0].reason}")
        for name, keys in plan.keys().items():
            sheet = self._folder.sheets[name]
            missing = sheet.missing(keys)
            if missing:
                held = self._store.rows[name]
                sheet.load(missing, [copy.deepcopy(held[key]) for key in missing if key in held])
        self._folder.fold(plan)
        self._calls += plan.calls
        self._moves[records[-1].partition] = records[-1].offset + 1

    def end(self, *, keep: bool) -> None:
        """Commit, or run what a process has run that dies before it commits."""
        if self._desk is not None and self._calls:
            self._desk.run(self._calls, keep=keep)
            self._calls.clear()
        if keep:
            self._commit()

    def _commit(self) -> None:
        for name, sheet in self._folder.sheets.items():
            held = self._store.rows[name]
            for key in sheet.dirty:
                held.pop(key, None)
                if sheet.rows[key] is not None:
                    held[key] = copy.deepcopy(sheet.rows[key])
            held.update({sheet.table.key_of(each): copy.deepcopy(each) for each in sheet.added})
        self._store.offsets |= self._moves
        self._moves.clear()
        self._folder.settle()
        if not self._builds:
            self._folder.clear()


def digest_rows(rows: Rows) -> str:
    """Give a short digest of *rows* that the order of rows does not change."""
    return shorten(
        [[name, sorted(encode_sorted(_flat(each)).decode() for each in held.values())] for name, held in sorted(rows.items())]
    )


def require_equal(projection: Projection, events: Sequence[object], *, runs: int = RUNS, seed: int = 0) -> str:
    """Fold *events* under *runs* schedules and give the digest that all of them have.

    Raises AssertionError with the first row that differs and both schedules.
    """
    __tracebackhide__ = True
    first = Chaos(projection, seed)
    expected = first.run(events)
    for number in range(1, runs):
        other = Chaos(projection, seed + number)
        found = other.run(events)
        for table, key, left, right in _differences(expected, found):
            raise AssertionError(
                f"{projection.name} is not deterministic: the row {key!r} of {table} is\n  {left}\nafter {'; '.join(first.said)}\n"
                f"and\n  {right}\nafter {'; '.join(other.said)}\nThe events were the same."
            )
    return digest_rows(expected)


def _differences(left: Rows, right: Rows) -> Iterator[tuple[str, Any, Any, Any]]:
    for table, rows in left.items():
        for key in sorted({*rows, *right[table]}, key=repr):
            before, after = rows.get(key), right[table].get(key)
            if encode_sorted(_flat(before)) != encode_sorted(_flat(after)):
                yield table, key, before, after


def _flat(row: Any) -> Any:
    return None if row is None else [repr(getattr(row, each.name)) for each in dataclasses.fields(row)]


def _lay_out(events: Sequence[object], partitions: int) -> dict[int, list[_Raw]]:
    """Lay *events* out over partitions as the relay does."""
    log: dict[int, list[_Raw]] = {each: [] for each in range(partitions)}
    versions: dict[str, int] = {}
    for number, given in enumerate(events, start=1):
        stream, event = cast("tuple[str, object]", given) if isinstance(given, tuple) else ("stream-1", given)
        versions[stream] = versions.get(stream, 0) + 1
        partition = partition_of(stream, partitions)
        envelope = _wrap(number, stream, versions[stream], event)
        value = compose_envelope(envelope, "chaos")
        log[partition].append(_Raw(_TOPIC, partition, len(log[partition]), number, stream.encode(), value))
    return log


def _wrap(number: int, stream: str, version: int, event: object) -> Envelope[Any]:
    kind = registry.of(type(event))
    return Envelope(
        stream=stream,
        version=version,
        position=Position(number, number),
        id=UUID(int=number),
        type=kind.name,
        schema_version=kind.version,
        data=event,
        metadata={},
        occurred_at=_WHEN,
        recorded_at=_WHEN,
    )
