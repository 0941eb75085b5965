"""The determinism of a projection, by experiment: the same facts folded under many schedules must give the same rows.

A schedule says how streams are shared out over partitions and those over workers, how large batches are, when who commits, whether rows
stay in memory (as in a build) or are read back (as in a worker), and where a process dies before or after its commit; of captured tables,
which changes a connector sends again. A seed decides it. What a projection derives must be the same too, under the same ids. Projections
that feed each other (`Projections`) are run one after the other, each under its own part of the schedule, on what those above derived.

The fold is the real one; the database is a dictionary that holds what was committed, as PostgreSQL would give it back. SQL handlers need
the real thing: they run on scratch tables of the server that the settings name (`readmodels.desk`), each commit a transaction.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from eventstore.codec import encode_sorted
from eventstore.envelope import Envelope
from eventstore.event import registry
from eventstore.log.wire import parse
from eventstore.meaning import shorten
from projections.declaration.projection import Projection
from projections.declaration.registry import Projections, list_projections
from projections.experiment.hand import Hand, open_desk
from projections.experiment.store import Rows, Store
from projections.experiment.telling import Partition, Raw, Telling
from projections.readmodels.desk import Desk

Derived = dict[tuple[str, str], list[Envelope[Any]]]
"""By projection and stream, in order."""
RUNS = 25


class Chaos:
    """One schedule of *subject*, chosen by *seed*; equal seeds give equal schedules.

    After a run *said* tells what happened in it, and *derived* what followed, by projection and stream.
    """

    def __init__(self, subject: Projection | Projections, seed: int = 0) -> None:
        self.projections = list_projections(subject)
        self.seed = seed
        self.said: list[str] = []
        self.derived: Derived = {}
        self._named = isinstance(subject, Projections)

    def run(self, events: Sequence[object]) -> Rows:
        """Fold *events*, or whatever else can be given (`experiment.telling`), and give the committed rows by table and key.

        Of Projections the tables are named `projection.table`. With SQL handlers it needs PostgreSQL (REFOLD_POSTGRES_DSN), where it
        leaves nothing; raises Unreachable without.
        """
        dice = random.Random(self.seed)  # noqa: S311 - it must give the same again
        partitions = dice.randint(1, 5)
        self.said = [f"seed {self.seed}: {partitions} partitions"]
        self.derived = {}
        telling = Telling(self.projections, partitions)
        self._tell(telling, events, dice)
        rows: Rows = {}
        for each in self.projections:
            with open_desk(each) as desk:
                store = self._work(each, telling, desk, dice)
                found = store.rows(table.name for table in each.tables) | (desk.rows() if desk else {})
            rows |= {self.name_table(each, table): held for table, held in found.items()}
            self._note(each, telling, store)
        return rows

    def name_table(self, projection: Projection, table: str) -> str:
        """Give the name of a table among the rows."""
        return f"{projection.name}.{table}" if self._named else table

    def _tell(self, telling: Telling, events: Sequence[object], dice: random.Random) -> None:
        """Write the log; what a connector sent may come again."""
        again = 0
        for each in events:
            telling.tell(each)
            if telling.comes_again and dice.random() < 0.1:
                telling.repeat()
                again += 1
        if again:
            self.said[0] += f", {again} changes sent twice"

    def _note(self, projection: Projection, telling: Telling, store: Store) -> None:
        """Note what *projection* derived, and let others read it."""
        for partition in sorted(store.derived):
            telling.add(projection.derived.name, store.derived[partition])
            for each in store.derived[partition]:
                envelope = parse(each.value, registry)
                self.derived.setdefault((projection.name, envelope.stream), []).append(envelope)

    def _work(self, projection: Projection, telling: Telling, desk: Desk | None, dice: random.Random) -> Store:
        builds, largest = dice.random() < 0.5, dice.choice((1, 3, 20, 1000))
        workers = 1 if builds else dice.randint(1, 4)
        crashes = dice.choice((0.0, 0.1, 0.3))
        whose = f"{projection.name}: " if self._named else ""
        self.said.append(f"{whose}{workers} {'builders' if builds else 'workers'}, batches up to {largest}")
        store, log = Store.of(projection, telling.log), telling.log
        order = list(store.offsets)
        hands: dict[int, Hand] = {}
        while any(store.offsets[each] < len(log[each]) for each in order):
            worker = dice.randrange(workers)
            mine = [each for at, each in enumerate(order) if at % workers == worker and store.offsets[each] < len(log[each])]
            if not mine:
                continue
            hand = hands.setdefault(worker, Hand(projection, store, log, desk, builds=builds))
            _turn(hand, log, mine, dice, largest)
            dies, survives = dice.random() < crashes, dice.random() < 0.5
            hand.end(keep=not dies or survives)
            if dies:
                self.said.append(f"{whose}worker {worker} dies {'after' if survives else 'before'} its commit")
                del hands[worker]
        Hand(projection, store, log, desk).end()
        return store


def _turn(
    hand: Hand, log: Mapping[Partition, Sequence[Raw]], mine: Sequence[Partition], dice: random.Random, largest: int
) -> None:
    """Fold one to three batches without a commit between them."""
    for _ in range(dice.randint(1, 3)):
        partition = dice.choice(mine)
        start = hand.where(partition)
        hand.absorb(log[partition][start : start + dice.randint(1, largest)])


def digest_rows(rows: Rows) -> str:
    """Give a short digest of *rows* that the order of rows does not change."""
    return shorten(
        [[name, sorted(encode_sorted(_flat(each)).decode() for each in held.values())] for name, held in sorted(rows.items())]
    )


def require_equal(subject: Projection | Projections, events: Sequence[object], *, runs: int = RUNS, seed: int = 0) -> str:
    """Fold *events* under *runs* schedules and give the digest of the rows that all of them have.

    Raises AssertionError with the first derived event or row that differs, and both schedules.
    """
    __tracebackhide__ = True
    first = Chaos(subject, seed)
    expected = first.run(events)
    for number in range(1, runs):
        other = Chaos(subject, seed + number)
        found = other.run(events)
        for projection, what, left, right in _differences(first, expected, other, found):
            raise AssertionError(
                f"{projection} is not deterministic: {what} is\n  {left}\nafter {'; '.join(first.said)}\n"
                f"and\n  {right}\nafter {'; '.join(other.said)}\nThe events were the same."
            )
    return digest_rows(expected)


def _differences(first: Chaos, left: Rows, other: Chaos, right: Rows) -> Iterator[tuple[str, str, Any, Any]]:
    """Give whose fault it is, what differs, and both forms of it, beginning with the projection that comes first."""
    for each in first.projections:
        yield from _compare_derived(each.name, first.derived, other.derived)
        for table in each.tables:
            name = first.name_table(each, table.name)
            yield from ((each.name, *found) for found in _compare_rows(table.name, left[name], right[name]))


def _compare_rows(table: str, left: Mapping[Any, Any], right: Mapping[Any, Any]) -> Iterator[tuple[str, Any, Any]]:
    for key in sorted({*left, *right}, key=repr):
        before, after = left.get(key), right.get(key)
        if encode_sorted(_flat(before)) != encode_sorted(_flat(after)):
            yield f"the row {key!r} of {table}", before, after


def _compare_derived(projection: str, left: Derived, right: Derived) -> Iterator[tuple[str, str, Any, Any]]:
    streams = sorted(stream for name, stream in {*left, *right} if name == projection)
    for stream in streams:
        pairs = zip_longest(left.get((projection, stream), []), right.get((projection, stream), []))
        for number, (before, after) in enumerate(pairs, start=1):
            if _tell(before) != _tell(after):
                yield projection, f"what it derives as number {number} of stream {stream!r}", _tell(before), _tell(after)
                break


def _tell(derived: Envelope[Any] | None) -> str:
    """Give a derived event without what depends on the number of partitions."""
    if derived is None:
        return "nothing"
    return f"{derived.data!r}, id {derived.id}, from {derived.metadata.get('causationid')}"


def _flat(row: Any) -> Any:
    return None if row is None else [repr(getattr(row, each.name)) for each in dataclasses.fields(row)]
